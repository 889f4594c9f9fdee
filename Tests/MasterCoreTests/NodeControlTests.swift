import MasterCore
import Relay
import Testing
import Wire

@Suite struct NodeControlTests {
    /// - Returns: the error number of the refusal, 0 for none.
    static func order(
        _ table: inout Table, _ node: Int32, _ control: NodeControl, by caller: Caller = Table.root
    ) -> Int32 {
        do {
            let last = table.lastOrder
            table.lastOrder = try table.state.control(
                node, control, by: caller, effects: &table.effects)
            #expect(table.lastOrder == last + 1)
            return 0
        } catch {
            #expect(!error.sentence.isEmpty)
            return error.errorNumber
        }
    }

    /// Hands an order's answer in, as if it came by this link.
    static func answer(
        _ table: inout Table, number: UInt32, _ answer: NodeControlAnswer, link: UInt64
    ) throws {
        let frame = answer.frame(number: number)
        try table.state.receiveControl(
            FrameHeader(.nodeControlled, subject: number),
            body: Array(frame[FrameHeader.byteCount...]), from: LinkID(link), now: 2,
            effects: &table.effects)
    }

    @Test func whatCannotBeIsRefusedByTheMaster() {
        var table = Table()
        #expect(Self.order(&table, 2, .reboot) == FailureCode.nodeDown)
        #expect(Self.order(&table, 3, .reboot) == FailureCode.invalidNode)
        #expect(Self.order(&table, -1, .halt) == FailureCode.invalidNode)
        #expect(
            Self.order(&table, 0, .powerOff, by: Table.owner) == FailureCode.notPermitted)
        #expect(Self.order(&table, 0, .changeRoot("tmp")) == FailureCode.invalidArgument)
        #expect(Self.order(&table, 0, .changeRoot("")) == FailureCode.invalidArgument)
        let long = "/" + String(repeating: "x", count: 4095)
        #expect(Self.order(&table, 0, .changeRoot(long)) == FailureCode.nameTooLong)
        #expect(table.effects == [])
    }

    @Test func aNodeThatAgreesToEndIsDownAtOnce() throws {
        var table = Table()
        #expect(Self.order(&table, 0, .reboot) == 0)
        let order = MasterEffect.control(LinkID(1), frame: NodeControl.reboot.frame(number: 1))
        #expect(table.effects.last == order)
        #expect(try table.record(0).isUp)
        try Self.answer(&table, number: 1, NodeControlAnswer(), link: 1)
        #expect(table.effects.contains(.nodeAnswered(order: 1, nil)))
        #expect(table.effects.contains(.refuse(LinkID(1), reason: "told to reboot")))
        #expect(try table.record(0).state == "down")
        #expect(try table.record(1).isUp)
    }

    @Test func aNodeThatRefusesStays() throws {
        var table = Table()
        #expect(Self.order(&table, 0, .halt) == 0)
        try Self.answer(
            &table, number: 1, NodeControlAnswer(errorNumber: 1, reason: "no"), link: 1)
        let refusal = NodeRefusal(1, "node 0: no")
        #expect(table.effects.last == .nodeAnswered(order: 1, refusal))
        #expect(try table.record(0).isUp)
        // It has been answered: a second answer means nothing.
        try Self.answer(&table, number: 1, NodeControlAnswer(), link: 1)
        #expect(try table.record(0).isUp)
    }

    @Test func aNewRootLeavesTheNodeUp() throws {
        var table = Table()
        #expect(Self.order(&table, 1, .changeRoot("/tmp")) == 0)
        try Self.answer(&table, number: 1, NodeControlAnswer(), link: 2)
        #expect(table.effects.last == .nodeAnswered(order: 1, nil))
        #expect(try table.record(1).isUp)
    }

    /// Another node's answer says nothing, and a node that is gone answers by that.
    @Test func onlyTheNodeItselfAnswers() throws {
        var table = Table()
        #expect(Self.order(&table, 0, .reboot) == 0)
        #expect(Self.order(&table, 0, .halt) == 0)
        table.effects.removeAll()
        try Self.answer(&table, number: 1, NodeControlAnswer(), link: 2)
        #expect(table.effects == [])
        table.state.controlIsLost(LinkID(1), reason: "", now: 3, effects: &table.effects)
        let answers = table.effects.compactMap { effect -> UInt32? in
            guard case .nodeAnswered(let order, let refusal) = effect else { return nil }
            #expect(refusal?.errorNumber == FailureCode.slaveDied)
            return order
        }
        #expect(answers == [1, 2])
    }
}
