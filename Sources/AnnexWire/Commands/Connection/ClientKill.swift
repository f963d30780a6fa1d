/// Reads `CLIENT KILL ip:port` and `CLIENT KILL [ID id] [ADDR ip:port] [LADDR ip:port] [SKIPME yes/no] …`, which say
/// what connections to close.
package struct ClientKillArguments: Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case id = "ID"
        case address = "ADDR"
        case localAddress = "LADDR"
        case skipOwn = "SKIPME"
    }

    static let filter = CommandArgument.oneof(
        "filter",
        [
            .integer("id", token: "ID"), .string("ip:port", token: "ADDR"), .string("ip:port", token: "LADDR"),
            .oneof("skipme", token: "SKIPME", [.word("YES"), .word("NO")]),
        ]
    )
    private static let grammar = OptionGrammar<Option>([Self.filter], .lastCounts)

    /// Tells whether one address was given, which has another reply.
    package let isOneAddress: Bool
    private var id: UInt64?
    private var address: String?
    private var localAddress: String?
    private var skippedID: UInt64?

    /// The arity must have been checked.
    ///
    /// - Parameter own: the number of the connection that asks.
    package init(_ request: Request, own: UInt64) throws(ArgumentFailure) {
        self.isOneAddress = request.count == 3
        guard !self.isOneAddress else {
            self.address = Self.address(request, 2)
            return
        }
        self.skippedID = own
        var reader = OptionReader(Self.grammar, from: 2)
        while let found = try reader.next(in: request) {
            let value = found.values.lowerBound
            switch found.option {
            case .id:
                guard let number = request.integer(value), let id = UInt64(exactly: number) else {
                    throw .syntax(request, near: value - 1)
                }
                self.id = id
            case .address: self.address = Self.address(request, value)
            case .localAddress: self.localAddress = Self.address(request, value)
            case .skipOwn:
                if request.matches(value, "NO") {
                    self.skippedID = nil
                } else if !request.matches(value, "YES") {
                    throw .syntax(request, near: value - 1)
                }
            }
        }
    }

    /// No client has the address that is empty, which stands for one that is longer than any.
    private static func address(_ request: Request, _ index: Int) -> String { request.text(index, atMost: 256) ?? "" }

    package func selects(id: UInt64, address: String, localAddress: String) -> Bool {
        if let wanted = self.id, id != wanted { return false }
        if let wanted = self.address, address != wanted { return false }
        if let wanted = self.localAddress, localAddress != wanted { return false }
        return id != self.skippedID
    }
}
