"""The systems that `rlgan train` knows, one file each."""
