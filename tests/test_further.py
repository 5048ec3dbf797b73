"""Networks outside the zoo, written as a newcomer would: equal to timm's and torchvision's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import cnndsl
from tests.both import difference, outputs
from tests.foreign import Foreign, bare, models, of_timm

FURTHER = {
    "convmixer_768_32": Foreign(of_timm("convmixer_768_32"), ordered=True),
    "darknet53": Foreign(of_timm("darknet53")),
    "dla34": Foreign(of_timm("dla34"), ordered=True),
    "fasternet_t0": Foreign(of_timm("fasternet_t0")),
    "fbnetc_100": Foreign(of_timm("fbnetc_100")),
    "gernet_s": Foreign(of_timm("gernet_s")),
    "lcnet_050": Foreign(of_timm("lcnet_050")),
    "mobileone_s0": Foreign(of_timm("mobileone_s0"), ordered=True),
    "poolformer_s12": Foreign(of_timm("poolformer_s12"), ordered=True),
    "r2plus1d_18": Foreign(bare(models.video.r2plus1d_18)),
    "r3d_18": Foreign(bare(models.video.r3d_18)),
    "r3d_18 mixed": Foreign(bare(models.video.mc3_18), settings={"mixed": True}),
    "repvgg_a0": Foreign(of_timm("repvgg_a0")),
    "resnetv2_50": Foreign(of_timm("resnetv2_50"), ordered=True),
    "selecsls42b": Foreign(of_timm("selecsls42b")),
    "semnasnet_100": Foreign(of_timm("semnasnet_100")),
    "seresnext50_32x4d": Foreign(of_timm("seresnext50_32x4d")),
    "skresnet18": Foreign(of_timm("skresnet18"), ordered=True),
    "starnet_s1": Foreign(of_timm("starnet_s1"), ordered=True),
    "vgg19_bn": Foreign(bare(models.vgg19_bn)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FURTHER)
def test_a_newcomers_file_is_the_network(name: str) -> None:
    foreign, file = FURTHER[name], f"{name.partition(' ')[0]}.arch"
    path = Path(__file__).parent / "further" / file
    ((port, tensor),) = cnndsl.load(path).inputs.items()
    frames = (4,) if len(tensor.shape) == 4 else ()
    shape = (3, *frames, foreign.size, foreign.size)
    network = cnndsl.load(path, inputs={port: shape}, **foreign.settings)
    made = foreign.filled()
    assert sum(p.numel() for p in made.parameters()) == network.parameters
    given = made if foreign.ordered else made.state_dict()
    weights = network.load_weights(given, map=foreign.names)
    x = np.random.default_rng(0).normal(size=(1, *shape))
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            expected = outputs(made.double()(torch.from_numpy(x)))
        assert counter.get_total_flops() == 2 * network.macs
        ours = network.to_torch(weights).double().eval()
        assert difference(outputs(ours(torch.from_numpy(x))), expected) <= 1e-9
    double = {n: w.astype(float) if w.dtype == np.float32 else w for n, w in weights.items()}
    assert difference(outputs(network.to_numpy(double)(x)), expected) <= 1e-9
