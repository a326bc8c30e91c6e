"""Every packaged study fits every packaged base; flags and settings that depend on the base."""

from __future__ import annotations

import pathlib
import re

import pytest
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, RegularizationConfig
from sagan_tf.regularization.top_k import compute_top_fraction
from tools.ablations.cost import describe_cost, predict_seconds
from tools.ablations.options import AblationOptions
from tools.ablations.plan import Plan, create_plan
from tools.ablations.studies import STUDIES
from tools.comparisons.records import format_option_values
from tools.repository import ROOT

BASES = sorted(STUDIES.glob("*.cfg"))
STUDY_NAMES = sorted(path.stem for path in STUDIES.glob("*.txt"))


HOSTILE_BASE = f"""--flagfile={ROOT / "configs" / "quickstart.cfg"}
--attention_resolutions=64
--generator_attention_resolutions=16
--discriminator_attention_resolutions=8
--attention_form=full
--augment=color
--ada_target=0.6
--ada_speed_images=9
--r1_weight=1
--r2_weight=1
--gradient_penalty_final_fraction=0.5
--gradient_penalty_anneal_steps=9
--lecam_weight=1
--lecam_clip
--lecam_decay=0.5
--lecam_start_step=9
--orthogonal_regularization=1
--consistency_weight=1
--fake_consistency_weight=1
--latent_consistency_weight=1
--latent_diversity_weight=1
--latent_noise=1
--generator_top_k=0.5
--generator_top_k_decay_steps=9
--discriminator_minibatch_statistics=4
--spectral_norm_power_iterations=2
--ema_decay=0.999
--ema_start_step=2000
--ema_half_life_images=9
--ema_ramp_up=0.1
--resampling=plain
--evaluation_labels=reference
--nodiscriminator_spectral_norm
"""
"""A base that sets what the packaged studies speak of."""


def plan_study(study: str, base: str = "fashion_mnist_32", **options) -> Plan:
    base = base if base.endswith(".cfg") else f"configs/ablations/{base}.cfg"
    return create_plan(AblationOptions(study, base=base, seeds=1, **options))


def configs_of(plan: Plan) -> dict[str, Config]:
    return {cell.setting.name: cell.config for cell in plan.cells}


@pytest.mark.parametrize("base", BASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("study", STUDY_NAMES)
def test_every_study_fits_every_base(study: str, base: pathlib.Path):
    plan = plan_study(study, base.stem, data_dir="DIR")
    assert len(plan.cells) > 1 and "Published" in plan.study.description
    configs = list(configs_of(plan).values())
    assert all(config != other for index, config in enumerate(configs) for other in configs[:index])


@pytest.mark.parametrize(
    ("base", "kept"),
    [("fashion_mnist_32", [8, 16]), ("emoji_64", [8, 16, 32]), ("imagenet_128", [8, 16, 32, 64])],
)
def test_attention_that_the_networks_cannot_have_is_left_out(base: str, kept: list[int]):
    plan = plan_study("attention", base)
    names = [f"{kind}_{size}" for kind in ("attention", "residual") for size in kept]
    assert [cell.setting.name for cell in plan.cells] == ["no_attention", *names]
    left_out = [note.partition(":")[0] for note in plan.notes if "left out" in note]
    assert left_out == [f"{kind}_{size}" for kind in ("attention", "residual") for size in (8, 16, 32, 64)
                        if size not in kept]  # fmt: skip


@pytest.mark.parametrize(("base", "rate"), [("imagenet_128", 2e-4), ("fashion_mnist_32", 1e-3)])
def test_without_ttur_both_networks_have_the_geometric_mean_of_the_rates(base: str, rate: float):
    configs = configs_of(plan_study("stabilization", base))
    rates = {
        name: (config.training.generator_learning_rate, config.training.discriminator_learning_rate)
        for name, config in configs.items()
    }
    assert rates["sn_in_discriminator"] == rates["sn_in_both"] == (rate, rate)
    generator, discriminator = rates["sn_in_both_and_ttur"]
    assert discriminator == pytest.approx(4 * generator) and generator * discriminator == pytest.approx(rate**2)
    assert not configs["sn_in_discriminator"].model.generator_spectral_norm


@pytest.fixture
def hostile_base(tmp_path: pathlib.Path) -> str:
    (tmp_path / "hostile.cfg").write_text(HOSTILE_BASE)
    return str(tmp_path / "hostile.cfg")


def test_settings_are_what_their_names_say_on_a_base_with_other_options(hostile_base: str):
    for config in configs_of(plan_study("stabilization", hostile_base)).values():
        model, training = config.model, config.training
        assert model.generator_attention == model.discriminator_attention == () and model.discriminator_spectral_norm
        assert (training.discriminator_steps_per_step, training.ema_decay, training.ema_half_life_images) == (1, 0, 0)
    for name, config in configs_of(plan_study("attention", hostile_base)).items():
        sizes = () if name == "no_attention" else (int(name.rpartition("_")[2]),)
        assert config.model.generator_attention == config.model.discriminator_attention == sizes
        assert (config.model.attention_block == "residual") == name.startswith("residual")
    baselines = configs_of(plan_study("baselines", hostile_base))
    sagan = baselines.pop("sagan")
    assert sagan.training.augment == ("color",) and sagan.model.generator_widths
    for name, config in baselines.items():
        assert config.regularization == RegularizationConfig() and config.training.augment == ()
        assert config.training.discriminator_steps_per_step == (5 if name.startswith("sngan") else 1)
        assert config.model.discriminator_spectral_norm == name.startswith("sngan")
        expected = sagan.model if name.startswith("sngan") else ModelConfig()
        for option in ("generator_widths", "discriminator_widths", "discriminator_downsample"):
            assert getattr(config.model, option) == getattr(expected, option)
        assert not config.model.generator_spectral_norm and not config.model.discriminator_minibatch_statistics


def test_baselines_have_the_equal_and_the_published_rate():
    rates = {
        name: {config.training.generator_learning_rate, config.training.discriminator_learning_rate}
        for name, config in configs_of(plan_study("baselines")).items()
    }
    systems = ("dcgan", "acgan", "sngan_projection")
    expected = {name: {1e-3} for name in systems} | {f"{name}_2e-4": {2e-4} for name in systems}
    assert rates == expected | {"sagan": {5e-4, 2e-3}}
    assert list(configs_of(plan_study("baselines", "imagenet_128"))) == [*systems, "sagan"]


def test_recipes_take_full_effect_within_the_steps_of_the_base():
    configs = configs_of(plan_study("recipes"))
    adaptive, top_k = configs["adaptive_augmentation"].training, configs["top_k"].regularization
    assert adaptive.ada_speed_images < 0.6 * adaptive.num_steps * adaptive.global_batch_size
    fractions = [float(compute_top_fraction(top_k, tf.constant(step, tf.int64))) for step in (0, 500, 1000)]
    assert fractions[0] == 1 and 0.6 < fractions[1] < 0.8 and fractions[2] == 0.5


def test_a_setting_without_classes_has_no_metrics_of_classes():
    plan = plan_study("baselines")
    metrics = {name: config.evaluation.metrics for name, config in configs_of(plan).items()}
    assert "label_agreement10k" in metrics["sagan"]
    assert metrics["dcgan"] == ("fcd10k", "classifier_score10k", "precision_recall10k", "density_coverage10k")
    assert any(flag == f"--metrics={','.join(metrics['dcgan'])}" for flag in plan.cells[0].create_train_command())


def test_predicted_cost_counts_the_updates_of_the_discriminator():
    cells = {cell.setting.name: cell for cell in plan_study("baselines", "imagenet_128").cells}
    assert predict_seconds(cells["sagan"], 0.5) == 500_000
    assert predict_seconds(cells["sngan_projection"], 0.5) == 1_500_000
    assert "34.7 days" in describe_cost(list(cells.values()), 0.5)  # 6 times 500,000 s


def test_the_page_has_the_predicted_numbers():
    cost = describe_cost(plan_study("attention", "imagenet_128", data_dir="DIR").cells, 0.53)
    page = (ROOT / "docs" / "ablations.md").read_text()
    (shown,) = re.findall(r"^# predicted.*$", page, re.MULTILINE)
    assert re.findall(r"[\d.,]*\d", shown) == re.findall(r"[\d.,]*\d", cost)


@pytest.mark.parametrize(("base", "size", "form"), [("fashion_mnist_32", 16, "pooled"), ("imagenet_128", 32, "paper")])
def test_studies_share_the_setting_of_the_base(base: str, size: int, form: str):
    """A study can use these runs of another one (`--reuse`)."""
    names = {"attention": f"attention_{size}", "attention_form": form, "baselines": "sagan"}
    plans = {study: plan_study(study, base, data_dir="DIR") for study in names}
    cells = [next(cell for cell in plan.cells if cell.setting.name == names[study]) for study, plan in plans.items()]
    first, *others = (format_option_values(cell.config) for cell in cells)
    assert all(other == first for other in others)


def test_runs_on_different_bases_have_different_directories():
    directories = {plan_study("attention", base.stem).directory for base in BASES}
    assert {directory.parts[-2:] for directory in directories} == {("attention", base.stem) for base in BASES}
