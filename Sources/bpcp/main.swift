import ArgumentParser
import CommandSupport
import Glibc

if let role = CopyRole(ProcessEnvironment.arguments()) {
    Glibc.exit(role.run())
}
CopyCommand.main()
