"""Options of the tool."""

from __future__ import annotations

from typing import Any

import pytest

from sagan_tf.errors import UserError
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.options import ScalingOptions


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        ({"workers": ()}, "workers", "empty"),
        ({"workers": (1, 0)}, "workers", "0"),
        ({"gpus_per_worker": 0}, "gpus_per_worker", "0"),
        ({"link_gbits": (10.0, -1.0)}, "link_gbits", "-1.0"),
        ({"link_latency_us": -1.0}, "link_latency_us", "-1.0"),
        ({"tflops": 0.0}, "tflops", "0.0"),
        ({"price_per_hour": -2.0}, "price_per_hour", "-2.0"),
        ({"utilization": 1.5}, "utilization", "1.5"),
        ({"bandwidth_utilization": 0.0}, "bandwidth_utilization", "0"),
        ({"overlap": 1.1}, "overlap", "1.1"),
        ({"tables": ()}, "tables", "empty"),
    ],
)
def test_errors_name_the_option_and_the_value(given: dict[str, Any], option: str, value: str) -> None:
    with pytest.raises(UserError) as caught:
        ScalingOptions(**given)
    assert str(caught.value).startswith(f"{option}: ") and value in str(caught.value)


def test_a_device_has_the_figures_of_its_data_sheet() -> None:
    assert ScalingOptions(device="L4").create_device("float32") == DEVICES["L4"]


def test_given_figures_replace_those_of_the_data_sheet() -> None:
    options = ScalingOptions(
        device="A100", tflops=100.0, memory_gbytes=40.0, bandwidth_gbytes=1500.0, local_link_gbytes=25.0
    )
    device = options.create_device("float32")
    assert device.peak_flops["tf32"] == 100e12  # the number format of products in float32
    assert device.peak_flops["bfloat16"] == DEVICES["A100"].peak_flops["bfloat16"]
    assert (device.memory_bytes, device.memory_bandwidth, device.local_link) == (40e9, 1500e9, 25e9)
    assert DEVICES["A100"].peak_flops["tf32"] == 156e12


def test_units_of_links_and_times() -> None:
    options = ScalingOptions(link_latency_us=20.0, local_latency_us=5.0, launch_us=4.0, overlap=0.5)
    cluster = options.create_cluster(3, 2, 100.0, DEVICES["V100"])
    assert (cluster.network.bytes_per_second, cluster.network.latency) == pytest.approx((12.5e9, 20e-6))
    assert (cluster.local.bytes_per_second, cluster.local.latency) == pytest.approx((150e9, 5e-6))
    assert cluster.replicas == 6
    assert options.create_assumptions().launch_seconds == pytest.approx(4e-6)
    assert options.create_assumptions().overlap == 0.5
    assert options.create_assumptions().utilization is None
