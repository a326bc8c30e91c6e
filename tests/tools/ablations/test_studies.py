"""Every packaged study fits every packaged base; flags and settings that depend on the base."""

from __future__ import annotations

import pathlib

import pytest

from sagan_tf.config import Config
from tools.ablations.cost import describe_cost, predict_seconds
from tools.ablations.options import AblationOptions
from tools.ablations.plan import Plan, create_plan
from tools.ablations.studies import STUDIES
from tools.repository import ROOT

BASES = sorted(STUDIES.glob("*.cfg"))
STUDY_NAMES = sorted(path.stem for path in STUDIES.glob("*.txt"))


def plan_study(study: str, base: str = "fashion_mnist_32", **options) -> Plan:
    return create_plan(AblationOptions(study, base=f"configs/ablations/{base}.cfg", seeds=1, **options))


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
    [("fashion_mnist_32", [8, 16]), ("drawings_64", [8, 16, 32]), ("imagenet_128", [8, 16, 32, 64])],
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


def test_a_setting_without_classes_has_no_metrics_of_classes():
    plan = plan_study("baselines")
    metrics = {name: config.evaluation.metrics for name, config in configs_of(plan).items()}
    assert "label_agreement10k" in metrics["sagan"]
    assert metrics["dcgan"] == ("fcd10k", "precision_recall10k", "density_coverage10k")
    assert any(flag == f"--metrics={','.join(metrics['dcgan'])}" for flag in plan.cells[0].create_train_command())


def test_predicted_cost_counts_the_updates_of_the_discriminator():
    cells = {cell.setting.name: cell for cell in plan_study("baselines", "imagenet_128").cells}
    assert predict_seconds(cells["sagan"], 0.5) == 500_000
    assert predict_seconds(cells["sngan_projection"], 0.5) == 1_500_000
    assert "34.7 days" in describe_cost(list(cells.values()), 0.5)  # 6 times 500,000 s


def test_the_page_has_the_printed_cost():
    cost = describe_cost(plan_study("attention", "imagenet_128", data_dir="DIR").cells, 0.53)
    assert f"\n# {cost}\n" in (ROOT / "docs" / "ablations.md").read_text()


def test_runs_on_different_bases_have_different_directories():
    directories = {plan_study("attention", base.stem).directory for base in BASES}
    assert {directory.parts[-2:] for directory in directories} == {("attention", base.stem) for base in BASES}
