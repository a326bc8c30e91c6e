"""The subject of an emoji: what it shows, without skin tone, gender, age group and direction."""

from __future__ import annotations

from collections.abc import Iterable

_JOINER, _VARIATION_SELECTOR = "200D", "FE0F"
_PERSON = "1F9D1"
_CODES_OF_ONE_PERSON = ("1F468", "1F469", "1F466", "1F467", "1F9D2", "1F476", "1F474", "1F475", "1F9D3")
"""Man, woman, boy, girl, child, baby, old man, old woman and older person."""
_GENDERS_AND_DIRECTION = ("2640", "2642", "27A1")
"""Female sign, male sign, and the arrow of the direction to the right: no part of the subject after a joiner."""
_EQUIVALENT_CODES = (
    # Persons that differ in gender.
    "1F9D1-1F91D-1F9D1 1F46B 1F46C 1F46D",  # two persons who hold hands
    "1F9D1-2764-1F48B-1F9D1 1F48F",  # kiss
    "1F9D1-2764-1F9D1 1F491",  # couple with a heart
    "1F9D1-1F9D1-1F9D1 1F46A",  # family of three
    "1FAC5 1F934 1F478",  # person with a crown, prince and princess
    "1FAC4 1FAC3 1F930",  # pregnant person
    "1F9D1-1F384 1F385 1F936",  # Father Christmas and Mother Christmas
    "1F57A 1F483",  # dancer
    "1F470 1F935",  # bride with a veil and groom in a tuxedo
    "1F6B9 1F6BA",  # sign of a men's room or women's room
    # Hands that differ in direction.
    "1F446 1F447 1F448 1F449",  # index finger, seen from the back of the hand
    "1F91B 1F91C",  # fist to the side
    "1FAF1 1FAF2 1F91A 270B",  # open hand: turned by a quarter in Twemoji
    "1FAF3 1FAF4",  # flat hand
    "1FAF7 1FAF8",  # pushing hand
    "1F44D 1F44E",  # thumb
    # Signs and objects that differ in direction.
    "2B05 2B06 2B07 27A1 2196 2197 2198 2199",  # arrow
    "2194 2195",  # arrow in two directions
    "21A9 21AA",  # arrow with a hook
    "2934 2935",  # curved arrow
    "1F501 1F503 1F504",  # two arrows in a circle
    "25B6 25C0 1F53C 1F53D",  # button with a triangle
    "23E9 23EA 23EB 23EC",  # button with two triangles
    "23ED 23EE",  # button with two triangles and a bar
    "1F53A 1F53B",  # red triangle
    "1F312 1F318",  # crescent moon
    "1F313 1F317",  # half moon
    "1F314 1F316",  # gibbous moon
    "1F31B 1F31C",  # half moon with a face
    " ".join(f"{code:X}" for code in range(0x1F550, 0x1F568)),  # clock: directions of the hands
    "1F642 1F643",  # smile and smile upside down
    "1F4E4 1F4E5",  # tray with an arrow
    "1F50D 1F50E",  # magnifying glass
    "1F58B 2712",  # pen
    "1F6A5 1F6A6",  # traffic light
    "1F6EB 1F6EC",  # airplane above a runway
    # Nearly equal images: in at least one set, two emoji of each line have a root mean square difference below 10 of
    # 255. The white square, circle and heart of Twemoji are as near, but are different subjects.
    "1F64D 1F64E",  # person who frowns or pouts
    "1F508 1F509 1F50A",  # loudspeaker
    "1F512 1F513",  # closed and open lock
    "1F1EE-1F1E9 1F1F2-1F1E8",  # flags of Indonesia and Monaco
    "1F1F7-1F1F4 1F1F9-1F1E9",  # flags of Romania and Chad
)
"""One line per subject: its codes, of which the first names the subject."""
_SUBJECTS = {codes: line.split()[0] for line in _EQUIVALENT_CODES for codes in line.split()}


def find_subject(codes: str) -> str:
    """Return the subject of an emoji.

    Args:
        codes: The code points of the emoji without skin tone, in hexadecimal digits, joined by "-", such as
            "1F9D1-200D-1F692".

    Returns:
        The code points that all emoji of the subject share or, for emoji of `_EQUIVALENT_CODES`, those of the first.
    """
    first, *joined = codes.replace(f"-{_VARIATION_SELECTOR}", "").split(f"-{_JOINER}-")
    kept = "-".join([first, *(part for part in joined if part not in _GENDERS_AND_DIRECTION)]).split("-")
    subject = "-".join(_PERSON if code in _CODES_OF_ONE_PERSON else code for code in kept)
    return _SUBJECTS.get(subject, subject)


def join_subjects(contents: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Join the subjects of which any two images are equal.

    Args:
        contents: The subject and the content of each image.

    Returns:
        For each subject, the subject that replaces it: the same for all that are joined.
    """
    replacements: dict[str, str] = {}
    first_subjects: dict[bytes, str] = {}
    for subject, content in contents:
        old = replacements.setdefault(subject, subject)
        new = replacements[first_subjects.setdefault(content, subject)]
        if old != new:
            replacements = {name: new if known == old else known for name, known in replacements.items()}
    return replacements
