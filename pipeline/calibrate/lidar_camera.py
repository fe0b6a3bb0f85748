"""`syncline calibrate lidar-camera`: the rotation of a LiDAR in a camera, from a drive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from calibration.lidar_camera import Driving, LidarCameraSettings, calibrate
from calibration.lidar_camera_score import Frame, Lens, Scorer
from calibration.lidar_edges import sweep_edges
from calibration.rig import CameraSensor, LidarSensor
from calibration.se3 import SE3, FloatArray
from calibration.trajectory import Trajectory
from nodes.detect_camera import decode_image
from nodes.sources.drive import Drive
from nodes.watch_calibration import NEAR, frame_of
from pipeline.calibrate.overlay import with_points
from pipeline.calibrate.page import Outcome, Picture, Section, Table, Tile
from pipeline.core import messages as m
from pipeline.core.errors import BadInput
from pipeline.evaluate import style
from pipeline.evaluate.style import COLOUR, legend, plot

_CUES = ("jumps of depth", "steps of reflectance", "information")


class Seen(NamedTuple):
    """frames: to calibrate from. pictures: (H, W, 3) uint8, one per frame. times_ns: of the pictures.

    data_sha256: of the pictures and sweeps used. compensated: the points were moved to the picture's instant.
    """

    frames: tuple[Frame, ...]
    pictures: tuple[npt.NDArray[np.uint8], ...]
    times_ns: tuple[int, ...]
    data_sha256: str
    compensated: bool


class Trial(NamedTuple):
    """From a start that was turned on purpose. error_deg: of the answer against the drive's own calibration."""

    start_deg: float
    error_deg: float
    found: Driving


def read_frames(drive: Drive, camera: CameraSensor, lidar: LidarSensor, most: int, done: Callable[[], None]) -> Seen:
    """At most so many pictures, evenly spread over the drive, each with the sweep that passed what it shows.

    Raises:
        BadInput: the drive has no such stream, or a picture is none.
    """
    topics = f"camera/{camera.name}", f"lidar/{lidar.name}"
    for topic in topics:
        if topic not in drive.topics:
            raise BadInput(drive.name, "topics", topic, ", ".join(drive.topics))
    poses = _poses(drive)
    every = max(1, -(-drive.counts[topics[0]] // most))
    images = [message for i, message in enumerate(drive.messages([topics[0]])) if i % every == 0]
    times_ns = np.array([image.stamp.time_ns for image in images])
    nearest = np.full(len(images), NEAR * lidar.sweep_ns)
    matched: dict[int, m.Message] = {}
    for sweep in drive.messages([topics[1]]):
        middle_ns = sweep.stamp.time_ns - lidar.sweep_ns // 2
        i = int(np.abs(times_ns - middle_ns).argmin()) if len(images) else -1
        if i >= 0 and abs(times_ns[i] - middle_ns) < nearest[i]:
            nearest[i] = abs(times_ns[i] - middle_ns)
            matched[i] = sweep
    total = hashlib.sha256()
    frames, pictures, used = [], [], []
    for i in sorted(matched):
        image, sweep = images[i], matched[i]
        assert isinstance(image.payload, m.CameraImage)
        assert isinstance(sweep.payload, m.PointCloud)
        done()
        bgr = decode_image(image.payload, camera, image.topic)
        try:
            frame = frame_of(bgr, sweep, lidar.ego_SE3_sensor, poses, image.stamp.time_ns)
        except ValueError:  # the poses begin later or end before
            continue
        total.update(image.payload.data.tobytes())
        total.update(sweep.payload.points.tobytes())
        frames.append(frame)
        pictures.append(bgr)
        used.append(image.stamp.time_ns)
    return Seen(tuple(frames), tuple(pictures), tuple(used), total.hexdigest(), poses is not None)


def turned(cam_SE3_lidar: SE3, degrees: float, seed: int) -> SE3:
    """Turned by so much about a random axis, in its place."""
    axis = np.random.default_rng(seed).normal(size=3)
    turn = np.radians(degrees) * axis / np.linalg.norm(axis)
    return SE3(SE3.exp([0, 0, 0, *turn]).rotation @ cam_SE3_lidar.rotation, cam_SE3_lidar.translation)


def lens_of(camera: CameraSensor) -> Lens:
    return Lens(camera.intrinsics, camera.width, camera.height)


def apart(a: SE3, b: SE3) -> FloatArray:
    """(3,) degrees, rotation vector from b to a, in the axes of the destination."""
    return np.asarray(np.degrees(SE3(a.rotation @ b.rotation.T, np.zeros(3)).rotation_vector))


def lidar_camera(
    seen: Seen,
    camera: CameraSensor,
    known: SE3,
    start: SE3,
    trials: int,
    trial_deg: float,
    settings: LidarCameraSettings,
    done: Callable[[], None],
) -> tuple[Driving, Outcome]:
    """Calibrate from ``start``, and say it as a page. known: ``cam_SE3_lidar`` as the drive has it.

    trials: so many more from starts turned by ``trial_deg`` about random axes, each held against ``known``.

    Raises:
        CannotCalibrate: too few frames, or too little to be seen in them.
    """
    found = calibrate(seen.frames, lens_of(camera), start, settings)
    done()
    tried = []
    for seed in range(trials):
        other = calibrate(seen.frames, lens_of(camera), turned(known, trial_deg, seed), settings)
        error_deg = float(np.linalg.norm(apart(other.cam_SE3_lidar, known)))
        tried.append(Trial(trial_deg, error_deg, other))
        done()
    return found, _outcome(found, seen, camera, known, tried, settings)


def _poses(drive: Drive) -> Trajectory | None:
    if "pose/ego" not in drive.topics:
        return None
    samples = {message.stamp.time_ns: message.payload for message in drive.messages(["pose/ego"])}
    known = sorted((t, p.odom_SE3_ego) for t, p in samples.items() if isinstance(p, m.EgoPose))
    if len(known) < 2:
        return None
    times_ns = np.array([t for t, _ in known], dtype=np.int64)
    return Trajectory(times_ns, SE3.stack([p for _, p in known]), max_extrapolation_ns=100_000_000)


def _outcome(
    found: Driving,
    seen: Seen,
    camera: CameraSensor,
    known: SE3,
    tried: Sequence[Trial],
    settings: LidarCameraSettings,
) -> Outcome:
    from_known = apart(found.cam_SE3_lidar, known)
    off_deg = float(np.linalg.norm(from_known))
    sure = not found.doubts
    turn_deg = np.degrees(found.turn)
    tiles = [
        Tile("verdict", "sure" if sure else "unsure", "", "by its own measure", "good" if sure else "bad"),
        Tile("turned by", f"{np.linalg.norm(turn_deg):.2f}", "°", "from the start to the answer"),
        Tile("1-sigma", f"{found.sd_deg.max():.2f}", "°", "worst axis"),
        Tile("from the drive's calibration", f"{off_deg:.2f}", "°", "answer against the rig as it is"),
    ]
    values = {
        "cam_SE3_lidar": found.cam_SE3_lidar.matrix.tolist(),
        "covariance": found.cov.tolist(),
        "sd_deg": found.sd_deg.tolist(),
        "turn_deg": turn_deg.tolist(),
        "from_known_deg": from_known.tolist(),
        "off_deg": off_deg,
        "clear": found.clear,
        "frames": len(seen.frames),
        "doubts": list(found.doubts),
    }
    rows = [
        [axis, f"{t:+.3f} ± {s:.3f}°", f"{k:+.3f}°", *(f"{c:+.2f}°" if np.isfinite(c) else "no peak" for c in own)]
        for axis, t, s, k, own in zip(
            ("x, pitch", "y, yaw", "z, roll"), turn_deg, found.sd_deg, from_known, np.degrees(found.own).T, strict=True
        )
    ]
    scores = [[name, f"{a:.4f}", f"{b:.4f}"] for name, a, b in zip(_CUES, found.at_start, found.cues, strict=True)]
    sections = [
        Section(
            "Rotation",
            "About the camera's axes, on top of the start; then what each cue would choose by itself.",
            [Table(["axis", "turned by", "from the drive's calibration", *_CUES], rows)],
        ),
        Section(
            "Score",
            f"Points on edges and information shared, at the start and as found. The best pose stands out by "
            f"{found.clear:.0%} from those half a degree and more away.",
            [Table(["cue", "at the start", "found"], scores)],
            [_slices(found, seen, camera, settings)],
        ),
        Section(
            "What this can tell",
            "The answer with one sector of the view after another left out: where it leans on one thing, it moves.",
            plots=[_sectors(found)],
            notes=_observability(found, seen, settings),
        ),
        Section(
            "On the pictures",
            "The LiDAR's points, red near and blue far: at the start, and as found. White: points at jumps of depth, "
            "which must lie on outlines.",
            pictures=_pictures(found, seen, camera),
        ),
    ]
    if tried:
        errors = np.array([t.error_deg for t in tried])
        good = [t for t in tried if not t.found.doubts]
        of_good = [t.error_deg for t in good]
        values["trials"] = {
            "start_deg": tried[0].start_deg,
            "median_deg": float(np.median(errors)),
            "worst_deg": float(errors.max()),
            "unsure": len(tried) - len(good),
            "worst_of_sure_deg": max(of_good, default=None),
            "errors_deg": errors.tolist(),
            "in_sd": [(np.abs(apart(t.found.cam_SE3_lidar, known)) / t.found.sd_deg).round(3).tolist() for t in tried],
        }
        lead = (
            f"{len(tried)} starts, each turned by {tried[0].start_deg:g}° about a random axis, against the drive's "
            f"calibration: median {np.median(errors):.3f}°, worst {errors.max():.3f}°; {len(tried) - len(good)} unsure."
        )
        sections.insert(2, Section("Trials", lead, plots=[_trials(tried)]))
    under = f"{camera.name} · {len(seen.frames)} frames · {'' if seen.compensated else 'no poses, '}start kept in place"
    return Outcome("Camera and LiDAR from a drive", under, tiles, sections, values, list(found.doubts))


def _observability(found: Driving, seen: Seen, settings: LidarCameraSettings) -> list[str]:
    away = np.degrees(found.without - found.without.mean(axis=0))
    leans = int(np.nan_to_num(np.linalg.norm(away, axis=1), nan=np.inf).argmax())
    notes = [
        f"Weakest about camera {'xyz'[int(found.sd_deg.argmax())]}: {found.sd_deg.max():.2f}°.",
        f"It leans most on sector {leans + 1} of {len(away)}, counted from the right of the view.",
        f"The LiDAR's place is kept as given; what {1e2 * settings.place_m:g} cm of it do to the rotation is in the "
        "covariance.",
        "Nothing of the time between picture and sweep, nor of the lens: an error of either turns up as rotation.",
    ]
    if not seen.compensated:
        notes.append("The drive has no poses: points are not moved to the instant of the picture.")
    return notes


@plot
def _slices(found: Driving, seen: Seen, camera: CameraSensor, settings: LidarCameraSettings) -> Figure:
    """The score along each axis through the answer."""
    few = seen.frames[:: max(1, len(seen.frames) // 6)]
    scorer = Scorer(few, lens_of(camera), found.cam_SE3_lidar, settings.score)
    degrees = np.linspace(-1.5, 1.5, 41)
    fig, axes = style.figure(10.4, 2.6, 1, 3, sharey=True)
    for axis, (ax, name) in enumerate(zip(axes, ("x, pitch", "y, yaw", "z, roll"), strict=True)):
        cues = np.array([scorer.parts(np.radians(d) * np.eye(3)[axis], -1).cues() for d in degrees])
        low, high = cues.min(axis=0), cues.max(axis=0)
        for name_of, cue, colour in zip(_CUES, ((cues - low) / (high - low)).T, ("lidar-0", "camera-0", "radar-0"),
                                        strict=True):  # fmt: skip
            ax.plot(degrees, cue, color=COLOUR[colour], lw=1.0, label=name_of)
        total = cues @ scorer.weight
        ax.plot(degrees, (total - total.min()) / (total.max() - total.min()), color=COLOUR["ink"], label="together")
        ax.set_xlabel(f"turned about {name}, °")
    legend(axes[0], columns=4)
    return fig


@plot
def _sectors(found: Driving) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.2)
    moved = np.degrees(found.without - found.without.mean(axis=0))
    for axis, colour in enumerate(("camera-0", "lidar-0", "radar-0")):
        ax.plot(np.arange(len(moved)) + 0.12 * (axis - 1), moved[:, axis], "o", ms=4, color=COLOUR[colour],
                label=f"camera {'xyz'[axis]}")  # fmt: skip
    ax.axhline(0, color=COLOUR["muted"], lw=0.8)
    ax.set_xticks(range(len(moved)), [f"{i + 1}" for i in range(len(moved))])
    ax.set_xlabel("sector left out")
    ax.set_ylabel("answer moves by, °")
    legend(ax)
    return fig


@plot
def _trials(tried: Sequence[Trial]) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.2)
    order = sorted(tried, key=lambda t: t.error_deg)
    for i, trial in enumerate(order):
        colour = COLOUR["bad" if trial.found.doubts else "good"]
        ax.bar(i, trial.error_deg, width=0.6, color=colour)
        ax.plot([i], [float(np.linalg.norm(trial.found.sd_deg))], "_", ms=12, color=COLOUR["ink"])
    ax.axhline(0.2, color=COLOUR["muted"], lw=0.8, ls=":")
    ax.set_ylim(0.0, 1.2 * max(0.25, order[-1].error_deg))  # a 1-sigma beyond it is no knowledge at all
    ax.set_ylabel("error, °")
    ax.set_xlabel("trial, by error; green: sure of itself, red: not; dash: its own 1-sigma")
    ax.set_xticks([])
    ax.grid(axis="x", visible=False)
    return fig


def _pictures(found: Driving, seen: Seen, camera: CameraSensor, most: int = 2) -> list[Picture]:
    out = []
    for k in np.linspace(0, len(seen.frames) - 1, most + 2).astype(int)[1:-1].tolist():
        frame, bgr = seen.frames[k], seen.pictures[k]
        jump = sweep_edges(frame.xyz, frame.intensity, frame.ring).jump
        for what, transform in (("at the start", found.start), ("found", found.cam_SE3_lidar)):
            drawn = with_points(bgr, camera.intrinsics, transform @ frame.xyz, dim=0.75)
            points = transform @ frame.xyz[jump]
            pixels, valid = camera.intrinsics.project(points[points[:, 2] > 1.0])
            for u, v in np.round(pixels[valid]).astype(int).tolist():
                cv2.circle(drawn, (u, v), max(1, bgr.shape[1] // 900), (255, 255, 255), -1, cv2.LINE_AA)
            out.append(Picture(f"frame {k}, {what}", drawn))
    return out
