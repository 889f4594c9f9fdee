package import Host

// Programs of this node.
extension SlaveDaemon {
    package var nodeCount: Int { 0 }

    package var programRefusal: String? {
        isWelcome ? nil : "node \(host.node) has no master at present"
    }

    package mutating func act(
        on message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        // ENOSYS
        refuse(
            client, request: message.request, errorNumber: 38,
            reason: "a node does not serve this yet")
    }

    package mutating func clientIsGone(_ client: Client) {}
}
