"""Points of interest of the simulated town, in SQLite: full text for names, an R-tree for what is near."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import msgspec

from pipeline.core.bounded import read_text
from pipeline.core.errors import BadInput

TOWN = Path(__file__).parent / "data" / "town.jsonl"


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """x, y: metres in the town's frame. has: attributes it offers. price: 1 cheap .. 3 dear. opens, closes: hours."""

    name: str
    name_zh: str
    category: str
    x: float
    y: float
    address: str
    has: tuple[str, ...] = ()
    opens: int = 0
    closes: int = 24
    phone: str = ""
    price: int = 2
    rating: float = 4.0

    def distance(self, x: float, y: float) -> float:
        """Metres from (x, y), as the crow flies."""
        return math.hypot(self.x - x, self.y - y)


class Places:
    """All places of a JSON-lines file. Raises BadInput naming the line that is wrong."""

    def __init__(self, path: Path = TOWN) -> None:
        self._places = [_place(path, n, line) for n, line in enumerate(read_text(path).splitlines(), 1)]
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE near USING rtree(id, x0, x1, y0, y1)")
        self._db.execute("CREATE VIRTUAL TABLE names USING fts5(name, tokenize='trigram')")
        for number, place in enumerate(self._places):
            self._db.execute("INSERT INTO near VALUES (?, ?, ?, ?, ?)", (number, place.x, place.x, place.y, place.y))
            text = f"{place.name} | {place.name_zh} | {place.address}".lower()
            self._db.execute("INSERT INTO names(rowid, name) VALUES (?, ?)", (number, text))

    def named(self, words: str) -> list[Place]:
        """Places whose name or address holds ``words``."""
        words = words.lower().removeprefix("the ").strip()
        if len(words) < 3:  # shorter than a trigram: Chinese names
            return [p for p in self._places if words and words in p.name_zh]
        rows = self._db.execute("SELECT rowid FROM names WHERE names MATCH ?", (f'"{words.replace(chr(34), "")}"',))
        return [self._places[row] for (row,) in rows]

    def of_kind(self, category: str, x: float, y: float, order: str = "nearest", attribute: str = "") -> list[Place]:
        """Places of that category around (x, y), best first by ``order``, at most three."""
        keys = {"cheapest": lambda p: (p.price, p.distance(x, y)), "best": lambda p: (-p.rating, p.distance(x, y))}
        for reach in (2_000.0, 10_000.0, 100_000.0):
            rows = self._db.execute(
                "SELECT id FROM near WHERE x0 >= ? AND x1 <= ? AND y0 >= ? AND y1 <= ?",
                (x - reach, x + reach, y - reach, y + reach),
            )
            found = [p for (i,) in rows if (p := self._places[i]).category == category]
            found = [p for p in found if not attribute or attribute in p.has]
            if found:
                return sorted(found, key=keys.get(order, lambda p: (p.distance(x, y), 0.0)))[:3]
        return []


def _place(path: Path, number: int, line: str) -> Place:
    try:
        return msgspec.json.decode(line, type=Place)
    except msgspec.DecodeError as error:
        raise BadInput(path, "place", "name, name_zh, category, x, y, address, …", error, number) from error
