"""Texts of messages. Those of impostors are put together from the published Korean words and figures; ordinary people
use some of the same words, so that a word alone never gives an offender away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

KAKAO_SHARE = 952 / 2821  # trusted-relative cases that involve KakaoTalk ...
KAKAO_WAYS = (335, 12, 605)  # ... by adding a friend or number, by an id, by asking to talk there
TOP_AMOUNT_WON = 959_000
TOP_AMOUNT_SHARE = 29 / 470

_PARENT = ("엄마", "아빠", "엄마~", "아빠!")
_PROBLEM = (
    "폰 액정이 나갔어",
    "폰이 고장나서",
    "폰 액정 파손돼서 센터에",
    "핸드폰 고장으로 수리 맡겼어",
    "액정 깨져서 수리중이야",
    "폰 떨어뜨려서 파손됐어",
    "센터에서 수리 기다리는 중",
    "폰 고장나서 컴퓨터로 문자하는거야",
)
_ASK = (
    "이 번호로 답장 줘",
    "이 번호 추가하고 문자 줘",
    "확인하면 문자 부탁해",
    "바쁘지 않으면 답장 부탁",
    "통화 안돼 문자로 줘",
)
_SOFT = ("", " ㅠㅠ", "..", " 급해", " 부탁", "~", " ㅜ", " 지금 뭐해?")
_NOTICE = ("해외 승인", "국외 결제", "해외 결제 완료", "국제 승인 완료", "해외 구매 승인", "결제 완료")
_DESK = ("본인 아닐시 문의", "고객센터", "구매 문의", "본인 아닌 경우 고객센터 문의", "취소 문의")
_CHAT = (
    "오늘 저녁 뭐 먹지",
    "지금 가는 중",
    "도착하면 전화할게",
    "회의 중이야 이따 답장할게",
    "생일 축하해!",
    "내일 몇 시에 볼까",
    "엄마 나 늦어",
    "아빠 어디야",
    "폰 액정 또 깨졌어",
    "카톡 확인해줘",
    "결제 완료했어",
    "고객센터 전화했더니 안 받네",
    "네 알겠습니다",
    "수고하셨습니다",
    "주말에 시간 돼?",
    "사진 보내줘",
    "번호 바뀌었어 추가해줘",
    "고마워",
)
_SHOPS = ("봄옷", "한빛마트", "새솔서점", "들꽃식당", "바다횟집", "시청 안내")
_PLACE = ("강남역", "회사 앞", "집", "학교", "병원", "마트", "카페", "역 앞", "버스", "공원")


def published(number: int) -> str:
    """A number as a Korean text writes it: 010-1234-5678, 02-830-1234, 1588-1234, +44 ..."""
    digits = str(number)
    if not digits.startswith("82"):
        return f"+{digits}"
    rest = digits[2:]
    if rest[:2] in ("15", "16", "18"):
        return f"{rest[:4]}-{rest[4:]}"
    area = 1 if rest[0] == "2" else 3 if rest.startswith("50") else 2
    return f"0{rest[:area]}-{rest[area:-4]}-{rest[-4:]}"


def chat_pool(rng: np.random.Generator, count: int) -> list[str]:
    """The texts of ordinary people: `count` of them, a few alike."""
    return [chat(rng) for _ in range(count)]


def trusted_relative(rng: np.random.Generator, implied: int) -> str:
    """ "Mum, my phone is broken, answer this number": every text is a little different."""
    text = f"{_pick(rng, _PARENT)} 나 {_pick(rng, _PROBLEM)}{_pick(rng, _SOFT)} {_pick(rng, _ASK)}"
    if rng.random() < KAKAO_SHARE:
        way = rng.choice(3, p=np.array(KAKAO_WAYS) / sum(KAKAO_WAYS))
        asked = ("카톡 추가해줘", f"카톡 아이디 fam{int(rng.integers(1000, 9999))}", "카톡으로 톡줘")[way]
        return f"{text} {asked} {published(implied)}" if way == 0 else f"{text} {asked}"
    return f"{text} {published(implied)}"


def amounts(rng: np.random.Generator) -> list[int]:
    """The 57 amounts (won) that repeat, the most frequent first; near a million, as since 2021-10."""
    others = rng.choice(np.arange(480, 1300), size=56, replace=False) * 1000
    return [TOP_AMOUNT_WON, *(int(a) for a in others if a != TOP_AMOUNT_WON)]


def fake_payment(rng: np.random.Generator, repeated: list[int], implied: int, abroad: bool) -> str:
    """A payment nobody made, with the number to call about it. Amount and number, no brand, as since 2022."""
    if rng.random() < TOP_AMOUNT_SHARE:
        amount = TOP_AMOUNT_WON
    else:
        amount = repeated[int(rng.integers(1, len(repeated)))]
    head = "[국제발신] " if abroad else "[Web발신] "
    code = int(rng.integers(1000, 9999))
    return f"{head}{_pick(rng, _NOTICE)} {amount:,}원 ({code}) {_pick(rng, _DESK)} {published(implied)}"


def bulk(rng: np.random.Generator) -> str:
    """One advertisement that goes to everybody word for word, with a link."""
    return f"[국제발신] (광고) 당일 지급 이벤트 코드 {int(rng.integers(100, 999))} http://ev{int(rng.integers(10**5))}.example/j"


def reminder(rng: np.random.Generator, clinic: str) -> str:
    hour, minute = int(rng.integers(9, 18)), int(rng.integers(0, 6)) * 10
    return f"[{clinic}] 내일 {hour:02d}시 {minute:02d}분 진료 예약이 있습니다. 변경은 전화 주세요."


def bank_notice(rng: np.random.Generator, bank: str) -> str:
    if rng.random() < 0.6:
        return f"[Web발신] {bank} 인증번호 [{int(rng.integers(10**6)):06d}] 타인에게 알려주지 마세요"
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    won = int(rng.integers(10, 990)) * 100
    return f"[Web발신] {bank} 체크카드 승인 {won:,}원 일시불 {hour:02d}:{minute:02d}"


def repeated(text: str) -> Callable[[np.random.Generator], str]:
    """Says the same every time."""
    return lambda rng: text


def chat(rng: np.random.Generator) -> str:
    return f"{_pick(rng, _CHAT)}{_pick(rng, _SOFT)} {_pick(rng, _PLACE)} {int(rng.integers(1, 13))}시"


def notice(rng: np.random.Generator) -> str:
    """An offer or announcement, the same for everybody whom it goes to."""
    per_cent, day = int(rng.integers(5, 60)), int(rng.integers(1, 29))
    return f"[Web발신] (광고) {_pick(rng, _SHOPS)} {per_cent}% 할인 {day}일까지 무료거부 080"


def club(rng: np.random.Generator) -> str:
    return (
        f"이번 주 모임은 {_pick(rng, _PLACE)} {int(rng.integers(1, 13))}시입니다. 준비물 {int(rng.integers(1, 9))}가지"
    )


def attendance(rng: np.random.Generator) -> str:
    hour, minute = int(rng.integers(13, 22)), int(rng.integers(60))
    return f"[Web발신] 학생{int(rng.integers(300))} {hour:02d}:{minute:02d} 등원하였습니다"


def delivery(rng: np.random.Generator, personal: bool) -> str:
    """A courier's or shop's text; `personal` ones differ from each other."""
    text = f"택배 {int(rng.integers(9, 20)):02d}시 도착 예정입니다"
    return f"{text} 송장 {int(rng.integers(10**9)):09d}" if personal else text


def sign_in_code(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(10**6)):06d} is your code"


def lure(rng: np.random.Generator) -> str:
    """The text that a telephone sends on once its holder has opened such a text."""
    return f"[택배] 주소지 불일치 확인 http://pk{int(rng.integers(10**4))}.example/a"


def broken_phone(rng: np.random.Generator, number: int) -> str:
    """A real child with a broken telephone: nearly the impostor's words, to her own mother."""
    text = f"{_pick(rng, _PARENT)} 나 {_pick(rng, _PROBLEM)}{_pick(rng, _SOFT)} {_pick(rng, _ASK)}"
    return (f"{text} {published(number)}", text, f"{_pick(rng, _PARENT)} {chat(rng)}")[int(rng.integers(3))]


def payment_notice(rng: np.random.Generator, card: str, desk: int) -> str:
    where = _pick(rng, ("해외승인", "승인", "해외 결제"))
    return f"[Web발신] {card} {where} {int(rng.integers(10, 9900)) * 100:,}원 일시불 문의 {published(desk)}"


def order_notice(rng: np.random.Generator, centre: int) -> str:
    won = int(rng.integers(20, 900)) * 1000
    return f"[{_pick(rng, _SHOPS)}] 해외 구매 결제 완료 {won:,}원 감사합니다 고객센터 {published(centre)}"


def invitation(rng: np.random.Generator) -> str:
    account = f"{int(rng.integers(100, 999))}-{int(rng.integers(10, 99)):03d}-{int(rng.integers(10**6)):06d}"
    hall = published(82_2_0000000 + int(rng.integers(2_000_000, 9_999_999)))
    return f"저희 결혼합니다 {int(rng.integers(11, 16))}시 문의 {hall} 마음 전하실 곳 국민 {account} 엄마 아빠도 함께"


def _pick(rng: np.random.Generator, among: tuple[str, ...]) -> str:
    return among[int(rng.integers(len(among)))]
