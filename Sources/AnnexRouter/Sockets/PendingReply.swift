import AnnexCore
import AnnexWire
import NIOCore

/// A request on its way: what to send, and whom its reply is owed to. Its storage is used again and again.
struct PendingReply {
    private(set) var request: RequestID?
    private(set) var frame = RequestFrame()
    private(set) var version = RESPVersion.two
    private(set) var slot: Int?
    private(set) var lane = Lane.reads
    var reply: ReplyPromise?
    /// Of a change: its place among those of its client.
    var ticket: UInt64?
    /// When the attempt made last must not be carried out any more.
    var expiresAt = UInt64.max
    /// What the client set for a change, in milliseconds since 1970.
    private(set) var deadline: Int64?
    /// A reply that waits for another attempt to end.
    var kept: (bytes: ByteBuffer, replica: Int)?
    private(set) var split: (SplitRequest, part: Int)?
    /// What the client's own events say; nil where it sent none.
    private(set) var positions: ClientPositions?
    /// Whose answers depend on them; kept only where there are any.
    private(set) var users: [[UInt8]] = []
    private var passesPositions = false

    /// - Parameter keys: where the users stand.
    mutating func begin(
        _ id: RequestID,
        _ request: Request,
        _ kind: RequestKind,
        _ slot: Int?,
        _ keys: Range<Int>,
        _ connection: ConnectionState
    ) {
        self.request = id
        self.version = connection.respVersion
        self.slot = slot
        self.lane = kind == .read ? .reads : .changes
        self.split = nil
        self.deadline = connection.deadline
        self.positions = connection.memory as? ClientPositions
        self.users = self.positions?.known.isEmpty ?? true ? [] : keys.map { request.bytesOf($0) }
        self.passesPositions = connection.givesPositions
        self.frame.set(request)
    }

    /// A part of a request: of these users, which are of one shard.
    mutating func begin(
        _ id: RequestID,
        _ frame: RequestFrame,
        _ users: [[UInt8]],
        _ connection: ConnectionState,
        split: (SplitRequest, part: Int)
    ) {
        self.request = id
        self.version = connection.respVersion
        self.slot = users.first.map { Slot.of($0) }
        self.lane = .reads
        self.split = split
        self.positions = connection.memory as? ClientPositions
        self.users = self.positions?.known.isEmpty ?? true ? [] : users
        self.frame = frame
        self.reply = nil
    }

    /// What the client gets of a reply. A change's comes with its position in the log, which is taken down.
    func finished(_ bytes: ByteBuffer, from replica: Int, reaches: Int) -> ByteBuffer {
        if self.lane == .reads {
            if !self.users.isEmpty { self.positions?.reached(self.users, replica: replica, reaches: reaches) }
            return bytes
        }
        guard let pieces = SplitRequest.elements(of: bytes), pieces.count == 2 else { return bytes }
        if let word = Self.bulk(pieces[1]) { self.positions?.add(word) }
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
        self.positions = nil
        self.users = []
        self.frame.end()
    }
}
