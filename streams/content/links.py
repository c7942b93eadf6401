"""Links in a text, and the risk that each shows by its name alone: nothing is fetched.

Letters stay as they were written, since a host in look-alike letters is another host."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from rules.lexicon import Lexicon
from schemas.codes import URL_RISKS
from streams.content.folding import fold, fold_one

NONE, ALLOWED, OTHER, SHORTENER, PUNYCODE, IP, LOOK_ALIKE, DENIED = range(1, len(URL_RISKS))
HOST_MAX = 253
NAME_MIN = 5  # letters of a brand's name below which a letter more or less makes another word
_LETTER = r"a-z0-9\u00df-\u024f\u0370-\u058f"  # Latin, and the scripts whose letters look like it
_LABEL = rf"[{_LETTER}](?:[{_LETTER}-]*[{_LETTER}])?"
_SCHEME = re.compile(r"(?:h(?:tt|xx)ps?|ftp)\s?:\s?/\s?/\s?(?P<host>[^\s/?#\\<>\"']+)")
_BARE = re.compile(rf"(?<![{_LETTER}_@./-])(?P<host>(?:{_LABEL}\.)+(?:[a-z]{{2,18}}|xn--[a-z0-9-]+))(?![a-z0-9@.-])")
_NUMBERED = re.compile(r"(?<![\w.])(?P<host>\d{1,3}(?:\.\d{1,3}){3})(?=[/:])")
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "3": "e", "5": "s", "$": "s", "-": None})


@dataclass(frozen=True, slots=True)
class Link:
    """host: as it was written, in small letters. domain: the registered one, "" where there is none. risk: a code of
    URL_RISKS. like: the brand whose domain it resembles, or ""."""

    host: str
    domain: str
    risk: int
    like: str = ""


class Links:
    """Finds links, and knows the lexicon's domains."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._names = {
            _skeleton(domain.split(".")[0]): (brand.name, domain)
            for brand in lexicon.brands
            for domain in brand.domains
        }
        self._own = frozenset(domain for brand in lexicon.brands for domain in brand.domains)

    def find(self, text: str) -> list[Link]:
        visible = _visible(text)
        hosts: dict[str, None] = {}
        for pattern in (_SCHEME, _NUMBERED, _BARE):
            for match in pattern.finditer(visible):
                host = match["host"].rpartition("@")[2].split(":")[0].strip(".")
                if host and len(host) <= HOST_MAX and (pattern is not _BARE or _suffixes().publicsuffix(_ascii(host))):
                    hosts.setdefault(host)
        return [self.link(host) for host in hosts]

    def link(self, host: str) -> Link:
        if _is_ip(host):
            return Link(host, "", IP)
        domain = _suffixes(True).privatesuffix(_ascii(host)) or ""
        if _listed(_ascii(host), self._lexicon.denied):
            return Link(host, domain, DENIED)
        if domain in self._own or _listed(_ascii(host), self._lexicon.allowed):
            return Link(host, domain, ALLOWED)
        if like := self._like(host, domain):
            return Link(host, domain, LOOK_ALIKE, like)
        if not host.isascii() and fold(host).isascii():  # letters of other scripts among Latin ones
            return Link(host, domain, LOOK_ALIKE)
        if "xn--" in host or not host.isascii():
            return Link(host, domain, PUNYCODE)
        return Link(host, domain, SHORTENER if domain in self._lexicon.shorteners else OTHER)

    def _like(self, host: str, domain: str) -> str:
        """The brand whose domain the host resembles without being it."""
        shown = _shown(host)
        for brand, own in self._names.values():
            if f".{own}." in f".{shown}.":
                return brand
        main = _shown(domain).split(".")[0]
        whole = _skeleton(main)
        for name, (brand, _) in self._names.items():
            if whole == name or name in (_skeleton(part) for part in main.split("-")):
                return brand
            if len(name) >= NAME_MIN and _one_apart(whole, name):
                return brand
        return ""


def _visible(text: str) -> str:
    """The text without what is not seen, in compatibility forms and small letters."""
    seen = "".join(c for c in text if fold_one(c))
    return unicodedata.normalize("NFKC", seen).lower().replace("。", ".").replace("[.]", ".").replace("(.)", ".")


def _shown(host: str) -> str:
    """A host as it is drawn: punycode decoded, look-alike letters as Latin ones."""
    labels = []
    for label in host.split("."):
        with suppress(UnicodeError):
            label = label.encode().decode("idna") if label.startswith("xn--") else label
        labels.append(fold(label))
    return ".".join(labels)


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def _skeleton(name: str) -> str:
    return name.replace("rn", "m").replace("vv", "w").translate(_ALIKE)


def _one_apart(a: str, b: str) -> bool:
    """True if a letter changed, added, left out or swapped with its neighbour makes one of the other."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    same = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        swapped = a[same : same + 2] == b[same : same + 2][::-1] and a[same + 2 :] == b[same + 2 :]
        return swapped or a[same + 1 :] == b[same + 1 :]
    shorter, longer = sorted((a, b), key=len)
    return shorter[same:] == longer[same + 1 :]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
        return True
    except ValueError:
        return bool(re.fullmatch(r"\d{8,10}|0x[0-9a-f]+", host))


def _listed(host: str, domains: frozenset[str]) -> bool:
    """True if the host is one of the domains or within one."""
    labels = host.split(".")
    return any(".".join(labels[k:]) in domains for k in range(len(labels)))


@lru_cache(maxsize=2)
def _suffixes(accept_unknown: bool = False):  # type: ignore[no-untyped-def]
    """The public suffix list that ships with its reader, as of that package's version."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=accept_unknown)
