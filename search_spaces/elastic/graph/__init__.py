"""What `ElasticGraph` is made of: kept indices, sizes among arguments, calls, and the plain network of one setting."""
