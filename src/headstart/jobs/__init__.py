"""Work on many images by several processes or machines: cut into shards, each computed once, whatever is killed meanwhile."""
