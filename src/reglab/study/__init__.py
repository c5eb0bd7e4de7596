"""Studies: the spec, the plan, one run, its record, the folder, and the execution of it all."""
