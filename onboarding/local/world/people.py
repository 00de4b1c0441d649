"""Who lives in the demo world. Nobody real: the names are thrown together, the addresses are no
one's (RFC 2606)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    """
    Aaron Abigail Alice Amelia Andrea Anna Ben Beth Brian Caleb Carla Carmen Chad Clara Cody Dale
    Dana Darlene Dean Diego Doug Earl Eileen Elena Emma Erin Esther Frank Gail Glen Grace Greta
    Hannah Hank Harold Helen Ingrid Irene Isaac Ivan Jack Jana Janet Jason Joan Joel José Judith
    Karen Karl Kay Keith Lena Leo Lloyd Lois Łukasz Luke Mae Marcus María Mark Martha Matt Miguel
    Nadia Neil Nora Olga Oscar Owen Paige Pat Paul Peg Petra Quinn Ray Rita Rosa Roy Ruth Sam Sara
    Scott Seth Silvia Sofía Stan Tara Ted Tess Tom Travis Ursula Vera Vince Wade Wanda Will Zoë
    """
)
LAST = _words(
    """
    Abbott Alvarez Amundson Bauer Becker Bergström Blake Boone Brandt Brooks Caldwell Carver
    Castillo Dahl Decker Delgado Dietrich Dvořák Eckert Ellison Engel Fischer Flores Friesen
    Garrett Gibbs Goossen Graham Gutiérrez Haas Hansen Harder Hayes Hoffman Holm Jansen Jensen
    Keller Klassen Koehn Kowalski Kruse Larsen Lindqvist Lopez Lund Marsh McCrae Meyer Miller
    Moreno Müller Nakamura Nelson Nguyễn Nielsen Novak O’Brien Olsen Ortega Palmer Peña Penner
    Peters Pratt Quiring Ramos Reimer Rhodes Ruiz Sandoval Sawyer Schmidt Schultz Shaw Silva
    Sørensen Stahl Stone Svensson Tanaka Thiessen Torres Tucker Unruh Vance Vogel Wagner Walsh
    Weaver Wiebe Winkler Yoder Young Zimmerman
    """
)
PLACE = _words(
    """
    Antelope Badger Bear Big Bluestem Box Elder Buffalo Cedar Clear Cottonwood Coyote Crane Deer
    Eagle Elk Elm Flat Fox Goose Grouse Hawk Hickory Juniper Lark Lone Maple Meadow Mill North Oak
    Otter Pheasant Pine Plum Prairie Quail Red River Rock Sage Sand Silver Stone Sunflower Turkey
    Walnut West Willow
    """
)
FEATURE = _words(
    """
    Acres Basin Bend Bluff Branch Bridge Butte Coulee Creek Crossing Draw Fork Flats Gap Grove
    Hill Hollow Lake Meadows Mesa Ridge Run Slough Springs Valley View
    """
)
KINDS = ("Farms", "Farms", "Farm", "Ag", "Grain", "Land & Cattle", "Ranch", "Farms LLC", "Seed")
MOST_FARMS = 5


@dataclass(frozen=True)
class Person:
    """A grower, and the farms that their John Deere account sees."""

    name: str
    """As the partner calls them: mostly the farm's name."""
    email: str
    """Also what they sign in with at the simulated John Deere."""
    farms: tuple[str, ...]


def somebody(chance: Random, number: int) -> Person:
    """The next one.

    :param number: makes the address one that nobody else has
    """
    first, last = chance.choice(FIRST), chance.choice(LAST)
    home = _farm(chance, last)
    farms = [home]
    while len(farms) < MOST_FARMS and chance.random() < 0.33:
        farms.append(_farm(chance, last))
    name = f"{first} {last}" if chance.random() < 0.2 else home
    return Person(name, f"{_plain(first)}.{_plain(last)}{number}@farm.example", tuple(farms))


def _farm(chance: Random, last: str) -> str:
    shape = chance.random()
    if shape < 0.30:
        return f"{last} {chance.choice(KINDS)}"
    if shape < 0.38:
        return f"{last} {chance.choice(('Brothers', 'Family Farms', '& Sons', '& Daughters'))}"
    place = f"{chance.choice(PLACE)} {chance.choice(FEATURE)}"
    return place if shape < 0.55 else f"{place} {chance.choice(KINDS)}"


def _plain(name: str) -> str:
    """In the letters of an address."""
    name = name.replace("ø", "o").replace("Ł", "L").replace("ł", "l").replace("’", "")
    spelled = unicodedata.normalize("NFKD", name)
    return spelled.encode("ascii", "ignore").decode().lower()
