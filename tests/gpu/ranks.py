"""What each rank of a torchrun does in a test: python -m torch.distributed.run ranks.py DEVICE."""

import sys
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from itl.machine import Machine
from itl.runs.perform import OBJECT_DEVICE
from itl.training.batches import device
from itl.training.loop import join_ranks


def check_rank(wanted: str) -> None:
    """Send an object, a gradient and a sum between the ranks; each holds memory on its own GPU alone."""
    machine = Machine.from_environment(device=wanted, workers=1)
    join_ranks(machine, timedelta(minutes=2))
    own, count = device(machine), distributed.get_world_size()
    box = ["from the first" if machine.rank == 0 else None]
    distributed.broadcast_object_list(box, src=0, device=OBJECT_DEVICE)
    net = DistributedDataParallel(nn.Linear(3, 2).to(own))
    net(torch.ones(4, 3, device=own)).sum().backward()
    total = torch.ones(1, device=own)
    distributed.all_reduce(total)
    distributed.barrier()
    assert (box, total.item(), net.module.weight.grad.sum().item()) == (["from the first"], count, 4 * 6)
    if own.type == "cuda":
        used = [number for number in range(torch.cuda.device_count()) if torch.cuda.memory_allocated(number)]
        assert used == [own.index] == [torch.cuda.current_device()], (used, own)
    distributed.destroy_process_group()


if __name__ == "__main__":
    check_rank(sys.argv[1])
