"""Parts of ``league``: its machines, its workloads, what is published of its policies.

``published_orders`` was written before anything was run.
"""
