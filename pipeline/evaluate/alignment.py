"""How well the sensors were brought to one instant, and whether every message is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.messages import LedgerRow, SensorSlot
from pipeline.evaluate.boxes import FloatArray, IntArray
from pipeline.evaluate.run_log import RunLog


@dataclass(frozen=True, eq=False)
class SensorAlignment:
    """One sensor over F frame sets; NaN where it was missing.

    offset_ms: (F,) message time minus reference instant. residual_ms, residual_m: (F,) what compensation left, 1-sigma,
    in time and as displacement of a static object (NaN where the run knows no ego motion). missing: (F,)
    reason or "". sequence: (F,) -1 where missing.
    """

    sensor: str
    modality: str
    offset_ms: FloatArray
    residual_ms: FloatArray
    residual_m: FloatArray
    missing: tuple[str, ...]
    sequence: IntArray

    @property
    def taken(self) -> int:
        return sum(not reason for reason in self.missing)

    @property
    def reasons(self) -> dict[str, int]:
        """Missing frame sets by reason, most frequent first."""
        counts = {reason: self.missing.count(reason) for reason in sorted(set(self.missing) - {""})}
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def sensor_alignment(run: RunLog) -> list[SensorAlignment]:
    """In the order of the sensors; a sensor without a slot in some frame set counts as missing there ("no slot")."""
    result = []
    for sensor in run.sensors:
        slots = [frame.slots.get(sensor) for frame in run.frames]
        missing = tuple("no slot" if s is None else s.missing for s in slots)

        def column(field: str, unit: float, slots: Sequence[SensorSlot | None] = slots) -> FloatArray:
            values = [np.nan if s is None or s.missing else getattr(s, field) / unit for s in slots]
            return np.array(values, dtype=np.float64)

        sequence = np.array([-1 if s is None or s.missing else s.sequence for s in slots], dtype=np.int64)
        result.append(
            SensorAlignment(
                sensor,
                run.modality[sensor],
                column("offset_ns", 1e6),
                column("residual_ns", 1e6),
                column("residual_m", 1.0) if run.has_poses else np.full(len(slots), np.nan),
                missing,
                sequence,
            )
        )
    return result


@dataclass(frozen=True, eq=False)
class LedgerCheck:
    """The last account of each sensor, and what is wrong with it.

    sent: what the stream says it sent, in all its epochs, -1 unknown; what its source gave up is not among them.
    problems: empty where received = fused + dropped + in flight held in every account of the run.
    """

    rows: tuple[LedgerRow, ...]
    sent: dict[str, int]
    problems: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        return bool(self.rows) and not self.problems


def check_ledger(run: RunLog) -> LedgerCheck:
    """Check every account of the run, not only the last: an imbalance that heals is one all the same."""
    states = [state for _, state in run.accounts]
    problems: dict[str, str] = {}
    for number, state in enumerate(states):
        for row in state.rows:
            dropped = sum(row.dropped.values())
            if row.received != row.fused + dropped + row.in_flight and row.sensor not in problems:
                problems[row.sensor] = (
                    f"{row.sensor}: received {row.received} is not fused {row.fused} + dropped {dropped}"
                    f" + in flight {row.in_flight} (account {number + 1} of {len(states)})"
                )
    rows = states[-1].rows if states else ()
    sent: Counter[str] = Counter()
    for (name, _), status in run.streams.items():
        sent[name] += status.sent
    for row in rows:
        slots = [f.slots[row.sensor] for f in run.frames if row.sensor in f.slots]
        used = len({(slot.epoch, slot.sequence) for slot in slots if not slot.missing})
        if row.fused != used:
            problems.setdefault(row.sensor, f"{row.sensor}: {row.fused} fused in the ledger, {used} in the frame sets")
    if not states:
        problems["ledger"] = "no ledger was recorded"
    return LedgerCheck(rows, dict(sent), tuple(problems.values()))
