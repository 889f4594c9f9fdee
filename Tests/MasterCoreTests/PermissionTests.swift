import MasterCore
import Relay
import Testing
import Wire

@Suite struct PermissionTests {
    /// Launches one rank on node 0 and one on node 1, where everyone may.
    /// - Returns: the failures, by rank.
    private func failures(
        of caller: Caller, permission: NodePermission
    ) throws -> [UInt32: Int32] {
        var table = Table()
        #expect(table.change(0, .user(permission.user), by: Table.root) == 0)
        #expect(table.change(0, .group(permission.group), by: Table.root) == 0)
        #expect(table.change(0, .mode(permission.mode), by: Table.root) == 0)
        table.effects.removeAll()
        let order = LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 16384, user: caller.user,
            group: caller.group, supplementaryGroups: caller.supplementaryGroups, umask: 0,
            nice: 0, limits: [], descriptors: .forwarded(standardInput: true), directory: "/",
            command: "a", stallMilliseconds: 1000)
        _ = table.state.launch(
            LaunchRequest(
                client: ClientID(1), caller: caller, nodes: [0, 1], order: order, fanOut: 2,
                chunkByteCount: 0, wantsProgress: false), now: 1, effects: &table.effects)
        var failures: [UInt32: Int32] = [:]
        for effect in table.effects {
            if case .failed(_, let failure) = effect {
                failures[failure.rank] = failure.errorNumber
            }
        }
        return failures
    }

    /// Like a file: the owner's bit for the owner, the group's for its members, else the last.
    @Test(arguments: [
        (0o100, true, false, false), (0o010, false, true, false), (0o001, false, false, true),
        (0o111, true, true, true), (0o000, false, false, false),
    ])
    func theBitsDecide(mode: Int, owner: Bool, member: Bool, stranger: Bool) throws {
        let permission = NodePermission(mode: UInt32(mode), user: 1000, group: 27)
        let callers: [(Caller, Bool)] = [
            (Caller(user: 1000, group: 27, supplementaryGroups: []), owner),
            (Caller(user: 1001, group: 27, supplementaryGroups: []), member),
            (
                Caller(
                    user: 1001, group: 5, supplementaryGroups: Array(100..<1000) + [27]), member
            ),
            (Caller(user: 1001, group: 28, supplementaryGroups: [29]), stranger),
            (Caller(user: 0, group: 0, supplementaryGroups: []), true),
        ]
        for (caller, isAllowed) in callers {
            #expect(
                try failures(of: caller, permission: permission)
                    == (isAllowed ? [:] : [0: FailureCode.notPermitted]), "\(caller.user)")
        }
    }
}
