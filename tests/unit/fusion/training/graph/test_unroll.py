from __future__ import annotations

import contextlib

import numpy as np
import torch

import fusion.training.graph.unroll as unrolled
from fusion.graph.network import GraphNetwork
from fusion.tracker import Tracker
from fusion.training.graph.train import GraphTraining, losses_of, train
from fusion.training.graph.unroll import batch_of, unroll
from fusion.training.graph.windows import Window, load_window, windows
from fusion.training.parts import write_arrays
from tests.clips import small_clip

FRAMES = 8


def a_window(seed: int = 0) -> Window:
    return next(windows(small_clip(seed), Tracker(), FRAMES, skip=4))


def test_an_untrained_network_plays_the_trackers_own_filter(monkeypatch):
    monkeypatch.setattr(unrolled, "_FALSE_KEPT", 1.0)
    window = a_window()
    batch = batch_of([window], np.random.default_rng(0))
    frames = list(unroll(GraphNetwork(), batch))
    for t, (_, _, mean, _, frame) in enumerate(frames[:-1]):
        later = slice(*window["track_first"][t + 1 : t + 3].tolist())
        fused = {int(s): m for s, m in zip(frame.slot, mean.detach().numpy(), strict=True)}
        dt = float(window["dt"][t + 1])
        known = [i for i, slot in enumerate(window["slot"][later].tolist()) if slot in fused]
        before = np.array([fused[slot] for slot in window["slot"][later][known].tolist()])
        expected = before + dt * before[:, [3, 4, 0, 0, 0]] * [1, 1, 0, 0, 0]
        sigma = np.sqrt(np.diagonal(window["cov"][later][known], axis1=1, axis2=2))
        assert len(known) > 3
        off = np.abs(expected - window["mean"][later][known]) / sigma
        assert np.quantile(off, 0.95) < 0.02
        assert off.max() < 0.3  # float32, and priors of 300 m


def test_windows_side_by_side_are_as_each_alone(monkeypatch):
    monkeypatch.setattr(unrolled, "_FALSE_KEPT", 1.0)
    first, second = a_window(0), a_window(1)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = GraphNetwork()
    alone = [m.detach() for _, _, m, *_ in unroll(network, batch_of([first], rng))]
    beside = [m.detach() for _, _, m, *_ in unroll(network, batch_of([first, second], rng))]
    for one, both in zip(alone, beside, strict=True):
        torch.testing.assert_close(both[: len(one)], one, atol=1e-3, rtol=1e-4)


def test_labels_name_the_object_that_a_track_follows():
    window = a_window()
    real = window["exists"] > 0
    assert 0.05 < real.mean() < 0.9
    apart = np.hypot(*(window["mean"][real, :2] - window["truth"][real, :2]).T)
    assert np.median(apart) < 1.0
    of_object = np.isfinite(window["truth_at"][:, 0])
    error = np.hypot(*(window["value"][of_object, :2] - window["truth_at"][of_object]).T)
    assert np.median(error) < 1.0


def test_files_give_back_the_same(tmp_path):
    window = a_window()
    write_arrays(tmp_path / "w.npz", window)
    again = load_window(tmp_path / "w.npz")
    assert set(again) == set(window)
    for name, column in window.items():
        np.testing.assert_array_equal(again[name], column)


def test_training_learns_and_goes_on_where_it_was_stopped(tmp_path):
    data = tmp_path / "windows"
    data.mkdir()
    for seed in range(2):
        write_arrays(data / f"{seed}.npz", a_window(seed))
    held = batch_of([a_window(7)], np.random.default_rng(0))
    before = float(losses_of(GraphNetwork(), held)["total"].detach())
    settings = GraphTraining(steps=24, batch=2, save_every=8, average=0.8)
    whole = train(data, tmp_path / "whole", settings)
    assert float(losses_of(whole, held)["total"].detach()) < before

    def stop(step: int, _: dict[str, float]) -> None:
        if step == 8:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(data, tmp_path / "parts", settings, stop)
    resumed = train(data, tmp_path / "parts", settings)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-2)
