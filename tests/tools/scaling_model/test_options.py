"""What the tool can be told."""

from __future__ import annotations

from typing import Any

import pytest

from sagan_tf.errors import UserError
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.options import ScalingOptions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": ()}, "workers: expected a comma list, received an empty one"),
        ({"workers": (1, 0)}, "workers: expected a number above 0, received 0"),
        ({"gpus_per_worker": 0}, "gpus_per_worker: expected a number above 0, received 0"),
        ({"link_gbits": (10.0, -1.0)}, "link_gbits: expected a number above 0, received -1.0"),
        ({"link_latency_us": -1.0}, "link_latency_us: expected a number of at least 0, received -1.0"),
        ({"tflops": 0.0}, "tflops: expected a number above 0, received 0.0"),
        ({"price_per_hour": -2.0}, "price_per_hour: expected a number above 0, received -2.0"),
        ({"utilization": 1.5}, "utilization: expected a number above 0 and at most 1, received 1.5"),
        ({"bandwidth_utilization": 0.0}, "bandwidth_utilization: expected a number above 0 and at most 1, received 0"),
        ({"overlap": 1.1}, "overlap: expected a number from 0 to 1, received 1.1"),
        ({"tables": ()}, "tables: expected a comma list, received an empty one"),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        ScalingOptions(**given)
    assert str(caught.value).startswith(message)


def test_a_device_is_its_data_sheet() -> None:
    assert ScalingOptions(device="L4").chosen_device("float32") == DEVICES["L4"]


def test_own_figures_take_the_place_of_the_data_sheets() -> None:
    options = ScalingOptions(
        device="A100", tflops=100.0, memory_gbytes=40.0, bandwidth_gbytes=1500.0, local_link_gbytes=25.0
    )
    device = options.chosen_device("float32")
    assert device.peak_flops["tf32"] == 100e12  # what float32 is multiplied in
    assert device.peak_flops["bfloat16"] == DEVICES["A100"].peak_flops["bfloat16"]
    assert (device.memory_bytes, device.memory_bandwidth, device.local_link) == (40e9, 1500e9, 25e9)
    assert DEVICES["A100"].peak_flops["tf32"] == 156e12


def test_units_of_links_and_times() -> None:
    options = ScalingOptions(link_latency_us=20.0, local_latency_us=5.0, launch_us=4.0, overlap=0.5)
    cluster = options.cluster(3, 2, 100.0, DEVICES["V100"])
    assert (cluster.network.bytes_per_second, cluster.network.latency) == pytest.approx((12.5e9, 20e-6))
    assert (cluster.local.bytes_per_second, cluster.local.latency) == pytest.approx((150e9, 5e-6))
    assert cluster.replicas == 6
    assert options.assumptions().launch_seconds == pytest.approx(4e-6)
    assert options.assumptions().overlap == 0.5
    assert options.assumptions().utilization is None
