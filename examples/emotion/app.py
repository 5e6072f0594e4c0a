# SPDX-License-Identifier: Apache-2.0
"""The page: a photo in, an emotion out, and where each part of the network ran.

streamlit run examples/emotion/app.py -- [options, which `examples/emotion/run --help` has]
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import altair
import pandas  # type: ignore[import-untyped]  # noqa: F401  Else Streamlit begins to import it in two threads at once.
import streamlit
from PIL import Image, ImageDraw

from common.aws_client import AWS_ERRORS
from common.pictures import PictureError
from emotion import settings as options
from emotion.emotions import LABELS, strongest
from emotion.faces import Face, find_faces, open_photo
from emotion.local_platform import Choice, LocalPlatform, Recognition
from emotion.network_picture import DEVICE_COLOUR, picture_of
from emotion.whole_photo import WholePhoto, WholePhotoAnswer

MAX_FACES = 10  #: That are answered; of a crowd the largest.

_NO_ANSWER: tuple[type[Exception], ...] = (PictureError, TimeoutError, *AWS_ERRORS)


@dataclass
class Seen:
    """What is known of the photo on the page: nothing is searched or asked for twice."""

    photo: bytes
    picture: Image.Image
    face_count: int  #: In the photo.
    faces: list[Face]  #: That are answered, the largest first.
    search_s: float
    answers: dict[Choice, list[Recognition]] = field(default_factory=dict)
    whole: WholePhotoAnswer | None = None


@streamlit.cache_resource(
    show_spinner="Measuring this device, the worker and the link; the first time, what codecs do to the answers, too …",
    on_release=LocalPlatform.close,
)
def open_platform(settings: options.Settings) -> LocalPlatform:
    return LocalPlatform(settings)


@streamlit.cache_resource
def open_whole_photo(bucket: str) -> WholePhoto:
    return WholePhoto(bucket)


def main() -> None:
    streamlit.set_page_config("Emotion, split", "🙂", layout="wide")
    streamlit.title("What does this face say?")
    settings = read_settings()
    platform = open_platform(settings)
    left, right = streamlit.columns(2, gap="large")
    with right:
        show_device(platform)
        choice = choose_cut(platform)
    with left:
        photo = choose_photo()
        if photo is None:
            return
        try:
            seen = look_at(photo)
        except PictureError as error:
            streamlit.error(f"This photo can't be used: {error}.")
            return
        found = recognise(platform, seen, choice)
        number = choose_face(seen, found)
        show_answer(found[number].probabilities)
    with right:
        show_way(found[number], seen, platform)
        if settings.bucket and streamlit.toggle("Send the photo, for comparison: it leaves this device"):
            compare(open_whole_photo(settings.bucket), seen, number, found)


def read_settings() -> options.Settings:
    try:
        return options.parse(sys.argv[1:], "streamlit run app.py --", "Hybrid emotion recognition.")
    except SystemExit:
        streamlit.error("This page was started with options that are wrong: see its terminal.")
        streamlit.stop()


def look_at(photo: bytes) -> Seen:
    """Searches for faces, unless that was done when the page was shown before. Raises PictureError."""
    seen: Seen | None = streamlit.session_state.get("seen")
    if seen is None or seen.photo != photo:
        started_s = time.monotonic()
        picture = open_photo(photo)
        faces = find_faces(picture)
        seen = Seen(photo, picture, len(faces), faces[:MAX_FACES], time.monotonic() - started_s)
        streamlit.session_state["seen"] = seen
    return seen


def recognise(platform: LocalPlatform, seen: Seen, choice: Choice) -> list[Recognition]:
    """The answer for each face; those of before where the worker has given them."""
    found = seen.answers.get(choice)
    if found is None:
        found = [platform.recognise(face.pixels, choice) for face in seen.faces]
        if not any(one.trouble for one in found):
            seen.answers[choice] = found
    return found


def ink() -> str:
    """The colour of words in pictures, as the page's theme has it."""
    return "#fafafa" if streamlit.context.theme.type == "dark" else "#31333f"


def choose_photo() -> bytes | None:
    """From a file or the camera; the one chosen last on this page's switch."""
    if streamlit.radio("Photo", ("Upload", "Camera"), horizontal=True) == "Camera":
        taken = streamlit.camera_input("Take a photo")
    else:
        taken = streamlit.file_uploader("A photo with a face, seen from the front", max_upload_size=64)
    return None if taken is None else taken.getvalue()


def show_device(platform: LocalPlatform) -> None:
    device = platform.check()
    power = "" if device.battery is None else f", battery {device.battery:.0%}"
    power += "" if device.on_mains else " and not on mains"
    streamlit.markdown(
        f"**This device**: {device.cores} cores, {device.busy:.0%} busy; {device.available_bytes / 1e9:.1f} of "
        f"{device.memory_bytes / 1e9:.1f} GB free{power}. The whole network takes {device.pass_s * 1e3:.1f} ms on it."
    )
    findings = platform.findings
    if findings.plan is None:
        streamlit.warning(f"No worker: {findings.trouble}. Everything runs on this device.")
    else:
        link = findings.plan.link
        streamlit.markdown(
            f"**Worker**: {platform.settings.worker}, round trip {link.rtt_s * 1e3:.1f} ms, "
            f"{link.up_bytes_per_s * 8e-6:,.0f} Mbit/s up."
        )
    if streamlit.button("Check again"):
        with streamlit.spinner("Measuring …"):
            platform.make_plan()
        streamlit.session_state.pop("seen", None)
        streamlit.rerun()


def choose_cut(platform: LocalPlatform) -> Choice:
    """The planner's choice, or that of the slider; both on the picture of the network."""
    ends = [block.end for block in platform.blocks if block.end >= platform.settings.min_head_layers]
    names = {block.end: f"after {block.name}" for block in platform.blocks[:-1]} | {platform.layers: "device only"}
    choice = platform.chosen
    if streamlit.toggle("Choose the cut myself"):
        end = streamlit.select_slider("Runs on this device", ends, ends[-1], format_func=lambda end: names[end])
        choice = platform.choice(end)
    head = names.get(choice.head_layers, f"after {platform.part.layers.layers[choice.head_layers - 1].name}")
    where = "Device only" if choice.head_layers == platform.layers else f"Cut {head}, codec {choice.codec}"
    predicted = "" if choice.predicted_s is None else f": predicted {choice.predicted_s * 1e3:.1f} ms"
    chosen = " (the planner's choice)" if choice == platform.chosen else ""
    streamlit.markdown(f"**{where}**{predicted}{chosen}")
    sent = f"sends {choice.predicted_bytes / 1000:.1f} KB"
    streamlit.image(
        picture_of(platform.blocks, choice.head_layers, sent, ink()),
        f"{choice.head_layers} layers run on this device, {platform.layers - choice.head_layers} on the worker.",
    )
    return choice


def choose_face(seen: Seen, found: list[Recognition]) -> int:
    """All faces with their answers; the number of the one to look at, at first the largest."""
    number = 0
    if seen.face_count > len(seen.faces):
        streamlit.warning(f"{seen.face_count} faces were found. The {len(seen.faces)} largest are answered.")
    if len(seen.faces) > 1:
        answers = [strongest(one.probabilities) for one in found]
        number = streamlit.radio(
            f"{len(seen.faces)} faces, the largest first",
            range(len(seen.faces)),
            format_func=lambda index: f"Face {index + 1}: {answers[index]}",
            key="face",
        )
    shown = seen.picture.copy()
    draw = ImageDraw.Draw(shown)
    for index, face in enumerate(seen.faces):
        left, top, width, height = face.box
        colour = DEVICE_COLOUR if index == number else "white"
        draw.rectangle((left, top, left + width, top + height), outline=colour, width=max(2, shown.width // 150))
    streamlit.image(shown, "Searched for faces on this device.")
    return number


def show_answer(probabilities: list[float]) -> None:
    streamlit.subheader(f"{strongest(probabilities)}, {max(probabilities):.1%}")
    rows = [
        {"emotion": name, "probability": value, "text": f"{value:.1%}"}
        for name, value in zip(LABELS, probabilities, strict=True)
    ]
    axis = altair.Axis(format="%", values=[0, 0.5, 1])
    both = altair.Chart(altair.InlineData(values=rows), height=230).encode(
        x=altair.X("probability:Q", axis=axis, scale=altair.Scale(domain=[0, 1.2]), title=None),
        y=altair.Y("emotion:N", sort=list(LABELS), title=None),
    )
    words = both.mark_text(align="left", dx=4, color=ink()).encode(text="text:N")
    streamlit.altair_chart(both.mark_bar(color=DEVICE_COLOUR) + words)


def show_way(found: Recognition, seen: Seen, platform: LocalPlatform) -> None:
    """Where each part ran, how long it took, and what was sent."""
    if found.trouble:
        streamlit.warning(f"The worker did not finish this, so this device did: {found.trouble}.")
    layers = platform.layers
    head = found.choice.head_layers if found.answered_by else layers
    rows = [
        ("this device", "search for faces", seen.search_s),
        ("this device", f"{head} layers", found.device_s),
        ("transfer", f"{found.sent_bytes:,} bytes sent", found.transfer_s),
        ("worker", f"{layers - head} layers", found.worker_s),
        ("together", f"{layers} layers", seen.search_s + found.total_s),
    ]
    where, what, times = zip(*rows, strict=True)
    streamlit.table({"where": where, "what": what, "ms": [f"{s * 1e3:.1f}" for s in times]})
    size = len(seen.photo)
    share = found.sent_bytes / size
    streamlit.markdown(f"Sent **{found.sent_bytes:,} bytes**; the photo has {size:,} ({share:.0%}).")


def compare(whole: WholePhoto, seen: Seen, number: int, split: list[Recognition]) -> None:
    """The same photo by way of S3 and a function that runs everything; it is sent once."""
    try:
        if seen.whole is None:
            with streamlit.spinner("Sending the photo …"):
                seen.whole = whole.recognise(seen.photo)
    except _NO_ANSWER as error:
        streamlit.error(f"Sending the photo failed: {error}")
        return
    streamlit.table(_comparison(seen.whole, split, seen.search_s))
    streamlit.caption(f"By way of S3 it says: {strongest(seen.whole.probabilities[number])}.")


def _comparison(whole: WholePhotoAnswer, split: list[Recognition], search_s: float) -> dict[str, list[str]]:
    """Of all faces that were answered, one after the other."""
    there_s = whole.fetch_s + whole.search_s + whole.network_s
    sent = (whole.upload_s, whole.total_s - whole.upload_s - there_s, whole.fetch_s, whole.search_s, whole.network_s)
    transfer_s = sum(one.transfer_s for one in split)
    network_s = sum(one.device_s + one.worker_s for one in split)
    stayed = (transfer_s, 0, 0, search_s, network_s)
    together_s = search_s + sum(one.total_s for one in split)
    steps = (
        "transfer",
        "start and wait",
        "read from S3",
        "search for faces",
        "network",
        "together, ms",
        "bytes sent",
    )
    return {
        "ms": list(steps),
        "photo sent": [f"{s * 1e3:.1f}" for s in (*sent, whole.total_s)] + [f"{whole.sent_bytes:,}"],
        "split": [f"{s * 1e3:.1f}" for s in (*stayed, together_s)] + [f"{sum(one.sent_bytes for one in split):,}"],
    }


main()
