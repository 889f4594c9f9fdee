import ArgumentParser

ControlCommand.main()
