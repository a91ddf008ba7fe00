"""One stateful optimizer, composed of stats and steppers; the schedules that drive it, by curves and rates of groups.

`optimizers` holds the components that a recipe names (`adam`, `sgd`, ...). Each is a `Composition` of parts:
`stats` keep running statistics of the gradients, `steppers` change the parameters. `create` makes an
`Optimizer` of it, which either applies the parts to one cache-sized piece of the parameters after another
(`units`, over the state that `buckets` lays out, in the threads of `workers`), or, where the composition is
one that torch has a fused kernel for, calls that kernel (`lowering`). Both keep the same state, so a run may
change from one to the other.
"""
