"""Numbers that stand for rows of other products of the same event: whether these rows are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mlreco.iotools.output.products import CLASSES, EVENT, PRODUCTS, TABLES, rows_of

Events = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Product to its rows in consecutive events and to the offsets of the events in them."""


class DanglingError(ValueError):
    """A number stands for nothing.

    Attributes:
        event: place of the event among those that were checked.
        product: the product that holds the number.
    """

    def __init__(self, event: int, product: str, text: str) -> None:
        super().__init__(text)
        self.event, self.product = event, product


def check_rows(offsets: Mapping[str, np.ndarray]) -> None:
    """Check that products with a row for the same things have equally many, and those of events one row each.

    Args:
        offsets: product -> where its events begin.

    Raises:
        ValueError: two products differ; names the first event.
    """
    first: dict[str, tuple[str, np.ndarray]] = {}
    for name in (name for name in (*PRODUCTS, *TABLES) if name in offsets):
        counts, rows = np.diff(offsets[name]), str(rows_of(name))
        if rows == EVENT:
            other, wanted = "one an event", np.ones_like(counts)
        else:
            before, wanted = first.setdefault(rows, (name, counts))
            other = f"those of '{before}'"
        if not np.array_equal(counts, wanted):
            event = int(np.flatnonzero(counts != wanted)[0])
            where = f" in event {event}" if len(counts) > 1 else ""
            raise ValueError(f"product '{name}' has {counts[event]} rows{where} and not {other}, {wanted[event]}")


def check_event(products: Mapping[str, np.ndarray], classes: int | None = None) -> None:
    """Check that the products of one event fit together.

    Args:
        products: name -> rows; those that are not known are not compared.
        classes: how many classes there are; None where that is not known.

    Raises:
        ValueError: two of the same rows differ in their number, or a number stands for nothing; names the product.
    """
    known = {name: rows for name, rows in products.items() if rows_of(name)}
    for name, rows in known.items():
        if not rows.ndim:
            raise ValueError(f"product '{name}' is a single number and has no rows")
    offsets = {name: np.array([0, len(rows)]) for name, rows in known.items()}
    check_rows(offsets)
    try:
        References(known, classes).check(
            {name: (rows, offsets[name]) for name, rows in known.items()}, offsets.__getitem__
        )
    except DanglingError as error:
        raise ValueError(f"product '{error.product}' {error}") from None


class References:
    """The numbers among some products that stand for rows of others, or for classes.

    Products whose rows are not known, because no product has a row for each of them, are not compared.

    Args:
        products: names of the products.
        classes: how many classes there are; None where that is not known.
    """

    def __init__(self, products: Iterable[str], classes: int | None = None) -> None:
        self._classes = classes
        self._tables: dict[str, str] = {}
        present = [name for name in products if rows_of(name)]
        for name in present:
            self._tables.setdefault(str(rows_of(name)), name)
        numbers = {name: PRODUCTS[name].numbers for name in present if name in PRODUCTS}
        known = {*self._tables, *((CLASSES,) if classes is not None else ())}
        self._indexes = {name: target for name, target in numbers.items() if target in known}

    def check(self, events: Events, offsets: Callable[[str], np.ndarray]) -> None:
        """Check the products of consecutive events.

        Args:
            events: as they were read; of named numbers those are compared whose two tables are here.
            offsets: returns for any product where these events begin, (events + 1,); the first need not be 0.

        Raises:
            DanglingError: a number stands for nothing, or two rows have the same.
        """
        for name, target in self._indexes.items():
            if name in events:
                self._check_index(name, str(target), *events[name], offsets)
        tables = [name for name in TABLES if name in events]
        for name in tables:
            _check_key(name, events)
        for name in tables:
            _check_table(name, events)

    def _check_index(
        self, name: str, target: str, values: np.ndarray, own: np.ndarray, offsets: Callable[[str], np.ndarray]
    ) -> None:
        filled = np.flatnonzero(np.diff(own))
        if not len(filled) or not values.size:
            return
        largest = np.maximum.reduceat(values, own[:-1][filled], axis=0).reshape(len(filled), -1).max(axis=1)
        counts = self._classes if target == CLASSES else np.diff(offsets(self._tables[target]))[filled]
        wrong = np.flatnonzero(largest.astype(np.int64) >= counts)
        if len(wrong):
            count = np.broadcast_to(np.asarray(counts), filled.shape)[wrong[0]]
            text = f"holds {largest[wrong[0]]}; the event has {count} {target}"
            raise DanglingError(int(filled[wrong[0]]), name, f"{text}, numbered from 0")


def _check_key(name: str, events: Events) -> None:
    """Check that rows of a table have numbers, no two of an event the same."""
    key, (rows, offsets) = TABLES[name].key, events[name]
    if key is None:
        return
    numbers, owners = rows[key].astype(np.int64), _owners(offsets)
    order = np.lexsort((numbers, owners))
    again = order[1:][(np.diff(numbers[order]) == 0) & (np.diff(owners[order]) == 0)]
    for wrong, text in ((np.flatnonzero(numbers < 0), "which is out of range"), (again, "in two rows")):
        if len(wrong):
            raise DanglingError(int(owners[wrong[0]]), name, f"column '{key}' holds {numbers[wrong[0]]}, {text}")


def _check_table(name: str, events: Events) -> None:
    """Check the numbers of rows of other tables in a table."""
    table, (rows, offsets) = TABLES[name], events[name]
    owners = _owners(offsets)
    for column, target in table.references.items():
        if target not in events:
            continue
        others, places = events[target]
        numbers, keys = rows[column].astype(np.int64), others[TABLES[target].key or column].astype(np.int64)
        if column == table.key:  # a row for each row of the other table
            wrong = numbers != keys
        else:
            wrong = (numbers != -1) & ~np.isin(*_by_event(numbers, owners, keys, _owners(places)))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            at = "in that row" if column == table.key else "among its numbers"
            text = f"column '{column}' holds {numbers[row]}, which '{target}' does not have {at}"
            raise DanglingError(int(owners[row]), name, text)


def _owners(offsets: np.ndarray) -> np.ndarray:
    """Return the event of each row."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _by_event(
    one: np.ndarray, owners: np.ndarray, other: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of two tables and their events as whole numbers that are equal where both are."""
    if not owners.any() and not others.any():
        return one, other
    known, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    codes = np.concatenate([owners, others]) * (len(known) + 1) + place
    return codes[: len(one)], codes[len(one) :]
