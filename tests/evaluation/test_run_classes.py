"""Image sets are reduced to the classes of a run that was trained on some classes."""

from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.run_classes import check_does_not_contain, get_selected_classes, keep_classes
from tests.data.sample_folders import build_class_directories


def open_part(directory: Path, **options: tuple[str, ...]) -> Source:
    config = DataConfig(dataset="folder", data_dir=str(directory), **options)  # type: ignore[arg-type]
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
    assert get_selected_classes(DataConfig(classes=("cow", "ant")), ()) == ("cow", "ant")
    with pytest.raises(UserError, match="^held_out=animals: .*owl"):
        keep_classes("held_out", "animals", whole, ("owl",))


def test_the_data_set_that_a_run_uses_a_part_of_is_not_held_out(animals: Path) -> None:
    whole = open_part(animals)
    for training in (whole, None, open_part(animals / "ant")):
        check_does_not_contain("animals", whole, training)
    with pytest.raises(UserError, match="^held_out: .*animals"):
        check_does_not_contain("animals", whole, open_part(animals, exclude_classes=("bee",)))
