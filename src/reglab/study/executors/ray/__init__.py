"""A Ray cluster: finding it, what is sent to it, what runs on its nodes, and the executor that ties them together."""
