"""Memory of losses on a large batch, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
from pathlib import Path
import torch
from zoo.losses.{module} import {loss}

def gradients(images, texts, **more):
    batch = [each.clone().requires_grad_() for each in (images, texts)]
    loss(*batch, **more).backward()

def memory(name):  # not from getrusage, whose peak is the parent's too
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

loss = {loss}()
rows = torch.randn({pairs}, 64)
rows /= rows.norm(dim=-1, keepdim=True)
ids = torch.arange({pairs}) // 2
more = dict(image_ids=ids, text_ids=ids.flip(0))
if {loss}.__name__ == "DistillationLoss":
    more |= dict(teacher_image_embeds=rows, teacher_text_embeds=rows)
gradients(rows[:64], rows[:64], **{{name: each[:64] for name, each in more.items()}})
before = memory("VmRSS")
gradients(rows, rows, **more)
print(memory("VmHWM") - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("module", "loss"),
    [
        ("info_nce", "InfoNCELoss"),
        ("siglip", "SigLIPLoss"),
        ("decoupled", "DecoupledLoss"),
        ("hard_negative", "HardNegativeLoss"),
        ("distillation", "DistillationLoss"),
    ],
)
def test_no_matrix_of_all_pairs(module, loss):
    """With several positives too. One matrix of 8,192 pairs in float32 would be 268 MB."""
    program = MEASURE.format(module=module, loss=loss, pairs=8_192)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100e6
