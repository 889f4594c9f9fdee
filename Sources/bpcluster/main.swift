print("bpcluster")
