print("bpsh")
