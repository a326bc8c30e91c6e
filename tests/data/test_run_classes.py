"""Image sets are reduced to the classes of a run that was trained on some classes."""

from pathlib import Path
from typing import Any

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.run_classes import (
    check_is_not_trained_on,
    get_selected_classes,
    keep_classes,
    warn_of_other_classes,
)
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories


def open_part(directory: Path, **options: Any) -> Source:
    config = DataConfig(dataset="folder", data_dir=str(directory), **options)
    return open_source(config, resolution=4, image_channels=3)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    build_class_directories(tmp_path / "animals", ("ant", "bee", "cow"), images_per_class=2)
    return tmp_path / "animals"


def test_other_classes_are_left_out_if_the_run_selects_classes(animals: Path) -> None:
    whole = open_part(animals)
    for options, names in (
        (DataConfig(), ()),
        (DataConfig(max_images_per_class=1), ()),
        (DataConfig(classes=("2", "ant")), ("cow", "ant")),
        (DataConfig(exclude_classes=("bee",)), ("ant", "cow")),
    ):
        selected = get_selected_classes(options, names or whole.class_names)
        kept = keep_classes("held_out", "animals", whole, selected)
        assert kept.class_names == (names or whole.class_names) and (kept is whole) == (not names)
    for options in (DataConfig(classes=("1", "0")), DataConfig(exclude_classes=("bee",))):
        option = "classes" if options.classes else "exclude_classes"
        with pytest.raises(UserError, match=f"^{option}: .*startup.json"):
            get_selected_classes(options, ())
    with pytest.raises(UserError, match="^held_out=animals: .*owl"):
        keep_classes("held_out", "animals", whole, ("owl",))


@pytest.mark.parametrize(
    ("found", "is_warned"), [(("ant", "cow"), False), (("ant", "bee", "cow"), True), (("ant",), True), ((), True)]
)
def test_images_of_other_classes_that_cannot_be_left_out(
    found: tuple[str, ...], is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_other_classes("reference", "a.npz", found, ("cow", "ant"))
    assert ["a.npz" in message and "cow" in message for message in caplog.messages] == [True] * is_warned
    warn_of_other_classes("reference", "a.npz", found, ())
    assert len(caplog.messages) == is_warned


def test_training_images_are_not_held_out(animals: Path) -> None:
    whole, part = open_part(animals), open_part(animals, exclude_classes=("bee",))
    for held_out, training in ((whole, None), (whole, open_part(animals / "ant")), (open_part(animals / "ant"), part)):
        check_is_not_trained_on("animals", held_out, training)
    for held_out, training in ((whole, whole), (whole, part), (part, part)):
        with pytest.raises(UserError, match="^held_out: .*animals"):
            check_is_not_trained_on("animals", held_out, training)
