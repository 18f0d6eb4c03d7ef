"""MetaShift benchmarks: every class(context) subset of annotated images, and tasks on them."""
