"""`python -m benchmarks`: graphflow beside other libraries on the same workloads, each run in a process of its own.

* `workloads.py`: names, sizes, what is compared.  `networks.py`: weights and models, written once over a
  namespace of layers.  `data.py`: what they are fed.
* `peers/`: one module per library; `catalog.py` lists them and what each needs.
* `worker.py`: one peer on one workload: builds, takes the check value, warms up, times; prints JSON.
  `sampling.py`: timing on a machine that others use too.
* `processes.py`: starts workers; `machine.py`: the machine in words; `table.py`: rows of JSON to markdown.
* `python -m benchmarks.roofline`: graphflow's kernels on the workloads, each with its share of the machine's peak.

What is timed.  Training: one step (forward, backward, update), the minibatch already in the library's own
array type, parameters and the optimiser's state living in the library; Keras: an epoch of `fit`, per step.
Inference: one call, its output waited for.  Same work: weights, data and the order of minibatches are the
same everywhere, and the loss of step 10 (or the mean absolute output) is compared before any time is.
Only `peers/graphflow.py` and `roofline.py` import graphflow, so that any interpreter with NumPy can be a worker.
"""
