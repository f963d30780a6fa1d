import AnnexCore
import AnnexWire
import NIOCore

/// Holds a request on its way: what to send, and whom its reply is owed to. Its storage is used again and again.
struct PendingReply {
    private(set) var request: RequestID?
    private(set) var frame = RequestFrame()
    private(set) var version = RESPVersion.two
    private(set) var slot: Int?
    private(set) var lane = Lane.reads
    var reply: ReplyPromise?
    /// The place of a change among those of its client.
    var ticket: UInt64?
    /// The attempt made last must not be carried out after this time.
    var expiresAt = UInt64.max
    /// Holds the deadline that the client set, in milliseconds since 1970.
    private(set) var deadline: Int64?
    /// A reply that waits for another attempt to end.
    var kept: (bytes: ByteBuffer, replica: Int)?
    private(set) var split: (SplitRequest, part: Int)?
    /// Holds the client that waits for the reply.
    private(set) var client: RouterClient?
    /// Neighbours among the rows of what the client waits for.
    var rowBefore = -1
    var rowAfter = -1
    /// The request's share of the client's `costUnderWay`.
    private(set) var cost = 0
    /// Holds the users whose answers depend on the client's own events. They are kept only where the client has sent
    /// events.
    private(set) var users: [[UInt8]] = []
    private var passesPositions = false

    mutating func begin(
        _ id: RequestID,
        _ request: Request,
        _ route: Route,
        _ client: RouterClient,
        _ connection: ConnectionState
    ) {
        self.begin(id, route, client, connection)
        if !client.known.isEmpty { self.users = route.keys.map { request.bytesOf($0) } }
        self.frame.set(request)
    }

    /// Begins a part of a request, of these users, which are of one shard.
    mutating func begin(
        _ id: RequestID,
        _ frame: RequestFrame,
        _ users: [[UInt8]],
        _ route: Route,
        _ client: RouterClient,
        _ connection: ConnectionState,
        split: (SplitRequest, part: Int)
    ) {
        self.begin(id, route, client, connection)
        if !client.known.isEmpty { self.users = users }
        self.split = split
        self.frame = frame
    }

    private mutating func begin(
        _ id: RequestID,
        _ route: Route,
        _ client: RouterClient,
        _ connection: ConnectionState
    ) {
        self.request = id
        self.version = connection.respVersion
        self.slot = route.slot
        self.lane = Lane(route.kind)
        self.client = client
        self.cost = route.cost
        self.deadline = connection.deadline
        self.users = []
        self.passesPositions = connection.givesPositions
        self.split = nil
        self.reply = nil
    }

    /// Makes the client's reply of a replica's. A change's reply comes with its position in the log, which is taken down.
    func finished(_ bytes: ByteBuffer, from replica: Int, reaches: Int) -> ByteBuffer {
        if self.lane != .changes {
            if !self.users.isEmpty { self.client?.reached(self.users, replica: replica, reaches: reaches) }
            return bytes
        }
        guard let pieces = ReplyArray.elements(of: bytes), pieces.count == 2 else { return bytes }
        if let word = Self.bulk(pieces[1]) { self.client?.add(word) }
        return self.passesPositions ? bytes : pieces[0]
    }

    private static func bulk(_ bytes: ByteBuffer) -> [UInt8]? {
        let view = bytes.readableBytesView
        guard view.first == UInt8(ascii: "$"), let end = view.firstIndex(of: UInt8(ascii: "\n")), view.count > 4 else {
            return nil
        }
        return Array(view[(end + 1)...].dropLast(2))
    }

    /// Lets go of who waited; the storage stays.
    mutating func end() {
        self.request = nil
        self.reply = nil
        self.ticket = nil
        self.kept = nil
        self.split = nil
        self.client = nil
        self.users = []
        self.frame.end()
    }
}
