"""A plan is loaded only where it is whole and for this very network, engine, version, device and options."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.engines.plans import PlanKey, Plans

KEY = PlanKey("model", "engine", "1.0", "this processor", "threads 1")
PLAN = bytes(range(256)) * 8


def no_need() -> bytes:
    raise AssertionError("built again")


def test_it_is_built_once(tmp_path: Path) -> None:
    plans = Plans(tmp_path)
    assert plans.get(KEY, lambda: PLAN) == PLAN
    assert Plans(tmp_path).get(KEY, no_need) == PLAN


@pytest.mark.parametrize("field", PlanKey._fields)
def test_another_network_engine_version_device_or_option_has_a_plan_of_its_own(tmp_path: Path, field: str) -> None:
    plans = Plans(tmp_path)
    plans.get(KEY, lambda: PLAN)
    other = KEY._replace(**{field: "another"})
    assert plans.get(other, lambda: b"another plan") == b"another plan"
    assert plans.get(KEY, no_need) == PLAN


@given(at=st.integers(0, 41 + len(PLAN) - 1), bit=st.integers(0, 7))
def test_one_bit_that_flipped_is_enough_to_build_it_anew(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    plans = Plans(tmp_path_factory.mktemp("plans"))
    plans.get(KEY, lambda: PLAN)
    (path,) = plans.folder.iterdir()
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    assert plans.get(KEY, lambda: b"new") == b"new"
    assert plans.get(KEY, no_need) == b"new"


@given(length=st.integers(0, 41 + len(PLAN) - 1))
def test_one_that_was_cut_off_is_built_anew(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    plans = Plans(tmp_path_factory.mktemp("plans"))
    plans.get(KEY, lambda: PLAN)
    (path,) = plans.folder.iterdir()
    path.write_bytes(path.read_bytes()[:length])
    assert plans.get(KEY, lambda: b"new") == b"new"


def test_the_plan_of_another_key_under_this_name_is_not_loaded(tmp_path: Path) -> None:
    plans, other = Plans(tmp_path / "here"), Plans(tmp_path / "there")
    plans.get(KEY, lambda: PLAN)
    other.get(KEY._replace(device="another"), lambda: b"foreign")
    (mine,), (foreign,) = plans.folder.iterdir(), other.folder.iterdir()
    mine.write_bytes(foreign.read_bytes())
    assert plans.get(KEY, lambda: b"new") == b"new"


def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    plans = Plans(in_the_way / "plans")
    assert plans.get(KEY, lambda: PLAN) == PLAN
    assert plans.get(KEY, lambda: PLAN) == PLAN


def test_what_could_not_be_built_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Plans(tmp_path).get(KEY, fails)
    assert list(tmp_path.iterdir()) == []
