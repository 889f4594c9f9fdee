import ArgumentParser

ClusterCommand.main()
