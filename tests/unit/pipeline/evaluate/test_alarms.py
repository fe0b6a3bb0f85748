from __future__ import annotations

import pytest

from pipeline.evaluate.alarms import Ailing, Told, alarms, of_alarms

S = 10**9


def told(named: dict[int, str]) -> list[Told]:
    """What is named of the radar in each of ten seconds; the camera is always well."""
    return [Told(t * S, {"radar": named.get(t, ""), "camera": ""}) for t in range(10)]


def test_a_fault_is_named_late_and_first_by_another_name():
    found = alarms(told({4: "noisy", 6: "mistimed", 7: "mistimed"}), [Ailing("radar", "mistimed", 3 * S, 8 * S)])
    assert found is not None
    assert found.delays == (1.0,)
    assert found.right == (3.0,)
    assert found.false == 0
    numbers = of_alarms([found])
    assert numbers["alarms/recognised_in_2s"] == 1.0
    assert numbers["alarms/named_in_2s"] == 0.0
    assert numbers["alarms/named"] == 1.0


def test_alarms_without_cause_are_counted_when_they_begin():
    found = alarms(told({1: "stuck", 2: "stuck", 4: "stuck"}), [])
    assert found is not None
    assert found.false == 2
    assert of_alarms([found])["alarms/false_per_hour"] == pytest.approx(2 / 9 * 3600)
    assert of_alarms([found])["alarms/named_in_2s"] is None


def test_a_fault_of_one_sensor_excuses_no_alarm_of_another():
    found = alarms(told({5: "noisy"}), [Ailing("camera", "blind", 0, 9 * S)])
    assert found is not None
    assert (found.false, found.delays) == (1, (float("inf"),))


def test_an_alarm_may_outlast_its_fault_by_a_second():
    ailing = Ailing("radar", "noisy", 0, 3 * S)
    assert alarms(told({4: "noisy"}), [ailing]).false == 0  # type: ignore[union-attr]
    assert alarms(told({5: "noisy"}), [ailing]).false == 1  # type: ignore[union-attr]


def test_who_judges_no_sensors_has_no_alarms():
    assert alarms([Told(0, {}), Told(S, {})], []) is None
