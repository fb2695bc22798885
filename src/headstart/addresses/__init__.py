"""Files in object storage and elsewhere on the network, by addresses such as s3://bucket/photos."""
