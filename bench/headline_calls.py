"""Calls of the four kernels of the headline shapes, for ncu to count: one round to warm up, one more."""

import cuda_problems
import torch
from run_cuda import call_of

for problem in list(cuda_problems.headline("cuda")):
    inputs = [x.cuda() for x in problem.inputs]
    call = call_of(next(iter(problem.functions.values()))(), inputs, backward=True)
    for _ in range(2):
        call()
    torch.cuda.synchronize()
