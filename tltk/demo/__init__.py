"""The demo: transfer learning from data to an export, offline, on images or texts of packages, or spoken words."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tltk.demo.detection import DetectionDemoResult
    from tltk.demo.texts import TextDemoResult
    from tltk.demo.walk import DemoResult
    from tltk.demo.words import AudioDemoResult


def run(
    task: str, out: Path, *, backbone: str, seed: int, say: Callable[[str], None]
) -> "AudioDemoResult | DemoResult | DetectionDemoResult | TextDemoResult":
    """Run the demo.

    Args:
        task: "image", "detection", "audio", or "text", which always uses MiniLM.
        out: Folder for the data, the run and the SavedModel.
        backbone: Backbone of the demos with images or sounds.
        seed: Seed of the data, the split and the training.
        say: Called with each line of progress.

    Returns:
        The metrics, times and files.
    """
    if task == "text":
        from tltk.demo.texts import run_text_demo

        return run_text_demo(out, seed=seed, say=say)
    if task == "detection":
        from tltk.demo.detection import run_detection_demo

        return run_detection_demo(out, backbone=backbone, seed=seed, say=say)
    if task == "audio":
        from tltk.demo.words import run_audio_demo

        return run_audio_demo(out, backbone=backbone, seed=seed, say=say)
    from tltk.demo.walk import run_demo

    return run_demo(out, backbone=backbone, seed=seed, say=say)
