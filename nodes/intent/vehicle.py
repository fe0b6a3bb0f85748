"""The simulated vehicle's comfort, media and driving requests: a frozen state, and what a frame makes of it.

Since states are values, undo is the state before.
"""

from __future__ import annotations

import msgspec

from nodes.intent.language.ontology import Frame

_ZONES = ("driver", "passenger", "rear_left", "rear_right")


class VehicleState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """temperature: degrees by zone. windows: percent open, by zone and sunroof. on: what is switched on, by
    `domain.device`, with its level. volume: 0..100. speed: km/h that cruise control holds. distance: metres to the
    vehicle ahead. requests: driving requests sent to the vehicle, newest last."""

    temperature: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(_ZONES, 21))
    windows: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys((*_ZONES, "sunroof"), 0))
    on: dict[str, str] = {}
    playing: str = ""
    paused: bool = False
    volume: int = 40
    muted: bool = False
    destination: str = ""
    avoid: tuple[str, ...] = ()
    speed: int = 80
    distance: int = 40
    warnings_muted: bool = False
    sent: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()


def zones_of(zone: str | None, default: tuple[str, ...] = _ZONES) -> tuple[str, ...]:
    """The seats that a zone means."""
    if zone is None:
        return default
    return {"all": _ZONES, "rear": ("rear_left", "rear_right")}.get(zone, (zone,))


def applied(state: VehicleState, frame: Frame) -> VehicleState:
    """The state after the frame; unchanged where the frame asks for nothing that the vehicle has.

    Limits: 16..30 degrees, 30..130 km/h, 20..120 m. A driving request is noted, not driven."""
    s, action = frame.slots, frame.slots.get("action", "")
    change = msgspec.structs.replace
    if frame.intent == "set_climate":
        if "temperature" in s or (action in ("up", "down") and s.get("device") != "fan"):
            step = (1 if s.get("level") == "little" else 2) * (1 if action == "up" else -1)
            new = {
                zone: min(
                    30,
                    max(16, round(float(s["temperature"])) if "temperature" in s else state.temperature[zone] + step),
                )
                for zone in zones_of(s.get("zone"))
            }
            return change(state, temperature={**state.temperature, **new})
        return _switched(state, f"climate.{s.get('device', 'ac')}", action, s.get("level", "on"))
    if frame.intent == "set_window":
        level = {"little": 10}.get(s.get("level", ""), _percent(s.get("level"), 100))
        places = ("sunroof",) if s.get("device") == "sunroof" else zones_of(s.get("zone"), ("driver",))
        return change(state, windows={**state.windows, **dict.fromkeys(places, level if action == "open" else 0)})
    if frame.intent in ("set_seat", "set_lights", "set_wipers"):
        domain = frame.intent.removeprefix("set_")
        device = s.get("device", {"set_seat": "position", "set_lights": "headlights"}.get(frame.intent, "wipers"))
        return _switched(state, f"{domain}.{device}", action, s.get("level", "on" if action == "set" else action))
    if frame.intent == "play_media":
        return change(state, playing=s.get("query", "music"), paused=False)
    if frame.intent == "play_radio":
        return change(state, playing=f"radio {s.get('station', '')}".strip(), paused=False)
    if frame.intent == "media_control":
        return change(state, paused=action == "pause")
    if frame.intent == "set_volume":
        if action in ("mute", "unmute"):
            return change(state, muted=action == "mute")
        step = {"up": 10, "down": -10}.get(action, 0)
        volume = _percent(s["level"], 100) if action == "set" and "level" in s else state.volume + step
        return change(state, volume=min(100, max(0, volume)), muted=False)
    if frame.intent == "reroute":
        return change(state, avoid=(*state.avoid, s["avoid"]) if "avoid" in s else state.avoid)
    if frame.intent == "stop_navigation":
        return change(state, destination="", avoid=())
    if frame.intent in ("mute_warnings", "unmute_warnings"):
        return change(state, warnings_muted=frame.intent == "mute_warnings")
    if frame.intent in ("call", "message"):
        return change(
            state, sent=(*state.sent, f"{frame.intent} {s.get('contact', '')} {s.get('content', '')}".strip())
        )
    if frame.intent == "set_speed":
        speed = round(float(s["speed"])) if "speed" in s else state.speed + (10 if action == "up" else -10)
        return change(state, speed=min(130, max(30, speed)), requests=(*state.requests, "set_speed"))
    if frame.intent == "set_distance":
        metres = round(float(s["distance"])) if "distance" in s else state.distance + (10 if action == "up" else -10)
        return change(state, distance=min(120, max(20, metres)), requests=(*state.requests, "set_distance"))
    if frame.risk == "driving":
        return change(state, requests=(*state.requests, f"{frame.intent} {s.get('direction', '')}".strip()))
    return state


def _switched(state: VehicleState, device: str, action: str, level: str) -> VehicleState:
    on = {k: v for k, v in state.on.items() if k != device}
    return msgspec.structs.replace(state, on=on if action == "off" else {**on, device: level})


def _percent(level: str | None, otherwise: int) -> int:
    named = {"max": 100, "min": 10, "little": 10, "high": 80}
    return min(100, int(level)) if level and level.isdigit() else named.get(level or "", otherwise)
