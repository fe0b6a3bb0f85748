"""What the assistant says, English and Chinese side by side; `say(language, english, chinese)` picks one."""

from __future__ import annotations

from nodes.intent.language.ontology import Frame, Language
from nodes.intent.places import Place
from nodes.intent.scene import Seen

KIND = {
    "car": "轿车",
    "truck": "卡车",
    "bus": "公交车",
    "trailer": "拖车",
    "construction_vehicle": "工程车",
    "pedestrian": "行人",
    "motorcycle": "摩托车",
    "bicycle": "自行车",
    "traffic_cone": "路锥",
    "barrier": "护栏",
    "vehicle": "车",
}
SIDE = {
    "ahead": ("ahead", "前方"),
    "behind": ("behind", "后方"),
    "left": ("on the left", "左侧"),
    "right": ("on the right", "右侧"),
}
ATTRIBUTE = {
    "charger": ("a charger", "充电桩"),
    "toilet": ("a toilet", "厕所"),
    "parking": ("parking", "停车位"),
    "wifi": ("wifi", "无线网"),
    "shop": ("a shop", "商店"),
    "wheelchair": ("wheelchair access", "无障碍通道"),
}
REQUEST = {
    "follow_vehicle": ("follow the vehicle ahead", "跟随前车"),
    "change_lane": ("change lane", "变道"),
    "park": ("park the car", "泊车"),
    "stop_assistance": ("hand driving back to you", "把驾驶交还给您"),
    "call": ("call", "打电话给"),
    "message": ("send a message to", "发消息给"),
}


_CHANGES = {
    ("set_speed", "up"): ("drive faster", "开快一点"),
    ("set_speed", "down"): ("drive slower", "开慢一点"),
    ("set_distance", "up"): ("keep more distance", "拉大车距"),
    ("set_distance", "down"): ("keep less distance", "缩小车距"),
}


def request(frame: Frame) -> tuple[str, str]:
    """What is asked about before it is done, English and Chinese, as it follows "Shall I" and "要我"."""
    s = frame.slots
    if "speed" in s:
        return f"drive at {s['speed']} km/h", f"开到{s['speed']}公里"
    if "distance" in s:
        return f"keep a distance of {s['distance']} m", f"保持{s['distance']}米车距"
    if change := _CHANGES.get((frame.intent, s.get("action", ""))):
        return change
    english, chinese = REQUEST.get(frame.intent, (frame.intent.replace("_", " "), frame.intent))
    more = [v for k, v in s.items() if k in ("direction", "contact", "content")]
    return " ".join([english, *more]), chinese + " ".join(_VALUE_ZH.get(v, v) for v in more)


def say(language: Language, english: str, chinese: str) -> str:
    return chinese if language == "zh" else english


def kind(language: Language, name: str | None) -> str:
    return say(language, (name or "object").replace("_", " "), KIND.get(name or "", "物体"))


def side(language: Language, name: str) -> str:
    return say(language, *SIDE[name])


def seen(language: Language, one: Seen) -> str:
    """ "a truck 24 m ahead" """
    metres = f"{one.distance:.0f}"
    if language == "zh":
        return f"{side(language, one.side)}{metres}米处一个{kind(language, one.kind)}"
    return f"a {kind(language, one.kind)} {metres} m {side(language, one.side)}"


def place(language: Language, one: Place, x: float, y: float) -> str:
    """ "Harbour Fuel, 1 Harbour Road, 0.8 km" """
    name, unit = say(language, one.name, one.name_zh), say(language, "km", "公里")
    return f"{name}, {one.address}, {one.distance(x, y) / 1000:.1f} {unit}"


def place_fact(language: Language, one: Place, attribute: str, x: float, y: float) -> str:
    """One attribute of a place, such as "Yes, Harbour Fuel has a charger." x, y: the vehicle, m, town frame."""
    name = say(language, one.name, one.name_zh)
    if attribute in ATTRIBUTE:
        what, has = say(language, *ATTRIBUTE[attribute]), attribute in one.has
        english = f"Yes, {name} has {what}." if has else f"No, {name} does not have {what}."
        return say(language, english, f"{name}{'有' if has else '没有'}{what}。")
    prices = (("cheap", "便宜"), ("average", "中等"), ("expensive", "偏贵"))
    price, km = say(language, *prices[one.price - 1]), f"{one.distance(x, y) / 1000:.1f}"
    hours = f"{one.opens}:00-{one.closes}:00"
    facts = {
        "open": (f"{name} is open {hours}", f"{name}营业时间{hours}"),
        "hours": (f"{name} is open {hours}", f"{name}营业时间{hours}"),
        "phone": (f"The number of {name} is {one.phone}", f"{name}的电话是{one.phone}"),
        "price": (f"{name} is {price}", f"{name}价格{price}"),
        "address": (f"{name} is at {one.address}", f"{name}在{one.address}"),
        "distance": (f"{name} is {km} km away", f"{name}距离{km}公里"),
        "rating": (f"{name} is rated {one.rating} of 5", f"{name}评分{one.rating}"),
    }
    told = facts.get(attribute, (f"I do not know that of {name}", f"不清楚{name}的这一点"))
    return say(language, *told) + say(language, ".", "。")


def doubt(language: Language, reason: str) -> str:
    """Why one cannot tell."""
    if reason == "no_scene":
        return say(language, "I cannot tell: I have no view of the scene.", "我无法判断：没有感知画面。")
    if reason == "stale":
        return say(language, "I cannot tell: what I last saw is too old.", "我无法判断：感知数据已过期。")
    _, sensor, fault = reason.split(":", 2)
    return say(
        language,
        f"I cannot tell: the {sensor} sensor is not reliable ({fault or 'degraded'}).",
        f"我无法判断：{sensor}传感器不可靠（{fault or '性能下降'}）。",
    )


def done(language: Language, frame: Frame, before: object) -> str:
    """What was just done, in short."""
    s = frame.slots
    what = frame.intent.removeprefix("set_").replace("_", " ")
    values = ", ".join(v.replace("_", " ") for k, v in s.items() if k != "action")
    english = " ".join(part for part in (what, s.get("action", "").replace("set", "to"), values) if part)
    chinese = "，".join([_WHAT_ZH.get(frame.intent, what), *(_VALUE_ZH.get(v, v) for v in s.values() if v != "set")])
    return say(language, f"Done: {english}.", f"好的：{chinese}。")


_WHAT_ZH = {
    "set_climate": "空调",
    "set_window": "车窗",
    "set_seat": "座椅",
    "set_lights": "灯光",
    "set_wipers": "雨刷",
    "play_media": "播放",
    "media_control": "媒体",
    "set_volume": "音量",
    "play_radio": "收音机",
    "reroute": "重新规划路线",
    "stop_navigation": "已结束导航",
    "mute_warnings": "已关闭语音提醒，碰撞警告除外",
    "unmute_warnings": "已恢复提醒",
    "set_speed": "车速",
    "set_distance": "车距",
    "call": "打电话",
    "message": "发消息",
    "follow_vehicle": "跟车",
    "change_lane": "变道",
    "park": "泊车",
    "stop_assistance": "请您接管驾驶",
}
_VALUE_ZH = {
    "on": "打开",
    "off": "关闭",
    "up": "调高",
    "down": "调低",
    "open": "打开",
    "close": "关闭",
    "driver": "主驾",
    "passenger": "副驾",
    "rear": "后排",
    "all": "全车",
    "left": "左",
    "right": "右",
    "max": "最大",
    "little": "一点",
    "ac": "空调",
    "heating": "加热",
    "fan": "风量",
    "sunroof": "天窗",
    "pause": "暂停",
    "resume": "继续",
    "next": "下一首",
    "previous": "上一首",
    "mute": "静音",
}
