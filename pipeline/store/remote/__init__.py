"""The store in a bucket: S3, Google's, Azure's, a folder, whatever obstore opens.

Layout below the address: `blobs/<sha256>`, `manifests/<key>/<fingerprint>.json`, `pointers/<key>/CURRENT.<profile>`,
`leases/<name>`, `runs/<run>.json`, `store.json`. A blob's name is its content, so nobody overwrites another's file; a
manifest is created once and never replaced; pointers and leases move by compare-and-swap. Nothing depends on renaming,
nor on the order in which a listing shows what was written.

Whoever moves files between machines builds on four functions, which know nothing of artifacts:
`address.open_objects` (a bucket by its address), `blobs.put_blob` and `blobs.fetch_blob` (a local file, by its hash),
`leases.lease` (being the only one at something, over machines).
"""
