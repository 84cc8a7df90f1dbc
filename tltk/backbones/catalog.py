"""Every known backbone in one table, quickly: no weights are read and TensorFlow is not imported."""

from dataclasses import dataclass

from tltk.backbones import weights
from tltk.backbones.image import applications
from tltk.backbones.image import efficientnet_lite as lite
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image.application_table import APPLICATIONS
from tltk.backbones.text import kerashub as hub_text
from tltk.backbones.text.presets import TEXT_PRESETS


@dataclass(frozen=True)
class Row:
    """One line of `tltk backbones`.

    Args:
        name: what `tltk.backbone` takes.
        parameters: without the classifier.
        modality: "image" or "text".
        input_size: rows and columns in pixels that the weights were trained at; of texts, the most tokens.
        top1: published ImageNet top-1 accuracy in [0, 1].
        weights: where they are right now: "keras cache", "kerashub cache", "tltk cache", "registry" or "hub".
    """

    name: str
    modality: str
    parameters: int | None
    input_size: int
    top1: float | None
    weights: str


def names(modality: str | None = None) -> tuple[str, ...]:
    """List the name of every known backbone.

    Args:
        modality: "image" or "text"; None for both.

    Example:
        >>> names()[:3]
        ('resnet50', 'resnet50_v2', 'resnet101')
    """
    images, texts = (*APPLICATIONS, lite.NAME, *hub.PRESETS), tuple(TEXT_PRESETS)
    return {"image": images, "text": texts}.get(modality or "", (*images, *texts))


def minimum(name: str) -> int:
    """Return the smallest rows and columns in pixels that a known backbone takes."""
    if name in APPLICATIONS:
        return APPLICATIONS[name].minimum
    return lite.MINIMUM if name == lite.NAME else hub.MINIMUM


def table() -> list[Row]:
    """List every known backbone, and where its weights are right now.

    Example:
        >>> table()[0].name, table()[0].parameters, table()[0].top1
        ('resnet50', 23587712, 0.749)
    """
    rows = [
        Row(
            row.name,
            "image",
            row.parameters,
            row.size,
            row.top1,
            weights.whereabouts(row.name, applications.places(row.name)),
        )
        for row in APPLICATIONS.values()
    ]
    lite0 = lite.backbone()
    where = weights.whereabouts(lite.NAME, lite.places())
    rows.append(Row(lite.NAME, "image", lite0.parameters, lite.SIZE, lite0.top1, where))
    for name in hub.PRESETS:
        preset = hub.backbone(name)
        where = weights.whereabouts(name, hub.places(name))
        rows.append(Row(name, "image", preset.parameters, hub.SIZE, preset.top1, where))
    for text in TEXT_PRESETS.values():
        where = weights.whereabouts(text.name, hub_text.places(text.name))
        rows.append(Row(text.name, "text", text.parameters, text.length, None, where))
    return rows
