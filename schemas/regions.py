"""Home regions: the countries (ISO 3166, two letters) to which numbers without a country code can belong."""

from __future__ import annotations

HOME = "KR"

# What people write for a country besides its code, as far as it points to one country only.
_MEANT = {
    "ARE": "AE", "AUS": "AU", "AUT": "AT", "BEL": "BE", "BRA": "BR", "CAN": "CA", "CHE": "CH", "CHN": "CN",
    "DEU": "DE", "DNK": "DK", "EL": "GR", "ENGLAND": "GB", "ESP": "ES", "FIN": "FI", "FRA": "FR", "GBR": "GB",
    "GRC": "GR", "HKG": "HK", "IDN": "ID", "IND": "IN", "IRL": "IE", "ISR": "IL", "ITA": "IT", "JAPAN": "JP",
    "JPN": "JP", "KHM": "KH", "KO": "KR", "KOR": "KR", "KOREA": "KR", "MEX": "MX", "MYS": "MY", "NLD": "NL",
    "NOR": "NO", "NZL": "NZ", "PHL": "PH", "POL": "PL", "PRT": "PT", "RUS": "RU", "SGP": "SG", "SWE": "SE",
    "THA": "TH", "TUR": "TR", "TWN": "TW", "UK": "GB", "UKR": "UA", "USA": "US", "VNM": "VN", "ZAF": "ZA",
}  # fmt: skip


class RegionProblem(ValueError):
    """A text that is no region's code; the message says what would be."""


def parse_region(text: str) -> str:
    """The region's code in capitals; small letters mean the same. Raises RegionProblem with what was probably meant."""
    if text == HOME:  # spares the usual case the library, which takes a tenth of a second
        return HOME
    import phonenumbers

    code = text.strip().upper()
    if code in phonenumbers.SUPPORTED_REGIONS:
        return code
    if not code:
        raise RegionProblem("is empty: write the code of a country, such as KR")
    meant = _MEANT.get(code) or _by_calling_code(code)
    if meant is None:
        raise RegionProblem(f"no country has the code {text!r}: write its ISO 3166 code of two letters, such as KR")
    raise RegionProblem(f"no country has the code {text!r}: did you mean {meant}?")


def _by_calling_code(text: str) -> str | None:
    """The one country with this calling code, "82" or "+82"; None if several share it."""
    import phonenumbers

    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 3):
        return None
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits), ())
    return regions[0] if len(regions) == 1 and regions[0].isalpha() else None
