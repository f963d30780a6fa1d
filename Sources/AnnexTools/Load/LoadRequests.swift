package import AnnexCore
import AnnexWire
import NIOCore

/// Holds every request that a load can send, encoded once, and draws one.
///
/// A request is a slice of a buffer that many share, so drawing and sending one copies and allocates nothing; an EVENT,
/// of any user and any item, is put together of two. The memory is the bytes of the requests and 32 bytes each.
package struct LoadRequests: Sendable {
    /// Says what the commands are about.
    package struct Subjects: Sendable {
        /// Lists user ids, the most asked first.
        package var users: [[UInt8]] = []
        /// Lists item ids, the most asked first.
        package var items: [[UInt8]] = []
        /// Name of the index; TOPK goes without it where the server has one index only.
        package var index: [UInt8]?
        package var k = 10
        /// Holds the exponent of Zipf's law by which users and items are drawn. With 0 all are alike.
        package var zipf = 1.0

        package init() {}
    }

    /// Holds the requests of one command.
    private struct Group: Sendable {
        var requests: [ByteBuffer]
        var draw: WeightedDraw?
        /// Holds the subject that is drawn to follow them, where they are not whole.
        var ends: (pieces: [ByteBuffer], draw: WeightedDraw)?

        func one(_ random: inout SeededRandom) -> ByteBuffer {
            var request = self.requests[self.draw?.draw(random.next()) ?? 0]
            if let ends { request.writeImmutableBuffer(ends.pieces[ends.draw.draw(random.next())]) }
            return request
        }
    }

    private let groups: [Group]
    private let command: WeightedDraw
    /// Names of the commands, in the order of their numbers.
    let names: [String]

    /// - Throws: `.usage` where `mix` has a command whose subjects are missing.
    package init(_ mix: LoadMix, _ subjects: Subjects) throws(AnnexError) {
        self.names = mix.parts.map(\.command.rawValue)
        self.command = WeightedDraw(weights: mix.parts.map { Double($0.weight) })
        self.groups = try mix.parts.map { part throws(AnnexError) in
            switch part.command {
            case .ping: return Group(requests: RequestEncoder.encode(1) { _ in [Array("PING".utf8)] })
            case .topk: return try Self.group(Self.topk(subjects), subjects, "TOPK", "users")
            case .vsim: return try Self.group(Self.vsim(subjects), subjects, "VSIM", "items of an index")
            case .event: return try Self.event(subjects)
            }
        }
    }

    /// Returns a request and the number of its command.
    func draw(_ random: inout SeededRandom) -> (command: Int, request: ByteBuffer) {
        let command = self.groups.count == 1 ? 0 : self.command.draw(random.next())
        return (command, self.groups[command].one(&random))
    }

    private static func topk(_ subjects: Subjects) -> [ByteBuffer] {
        let k = Array("\(subjects.k)".utf8)
        let tail = subjects.index.map { [Array("INDEX".utf8), $0] } ?? []
        return RequestEncoder.encode(subjects.users.count) { [Array("TOPK".utf8), subjects.users[$0], k] + tail }
    }

    private static func vsim(_ subjects: Subjects) -> [ByteBuffer] {
        guard let index = subjects.index else { return [] }
        let k = Array("\(subjects.k)".utf8)
        return RequestEncoder.encode(subjects.items.count) {
            [Array("VSIM".utf8), index, Array("ELE".utf8), subjects.items[$0], Array("COUNT".utf8), k]
        }
    }

    /// Begins with the user, ends with the item.
    private static func event(_ subjects: Subjects) throws(AnnexError) -> Group {
        let tail = subjects.index.map { [Array("INDEX".utf8), $0] } ?? []
        let begins = RequestEncoder.slices(subjects.users.count) {
            let words = [Array("EVENT".utf8), subjects.users[$0]]
            RequestEncoder.append(array: 3 + tail.count, beginningWith: words, to: &$1)
        }
        let ends = RequestEncoder.slices(subjects.items.count) {
            RequestEncoder.append(bulks: [subjects.items[$0]] + tail, to: &$1)
        }
        var group = try Self.group(begins, subjects, "EVENT", "users")
        guard !ends.isEmpty else { throw AnnexError(.usage, "EVENT needs the items to ask for") }
        group.ends = (ends, .zipf(count: ends.count, exponent: subjects.zipf))
        return group
    }

    private static func group(_ requests: [ByteBuffer], _ subjects: Subjects, _ name: String, _ what: String)
        throws(AnnexError) -> Group
    {
        guard !requests.isEmpty else { throw AnnexError(.usage, "\(name) needs the \(what) to ask for") }
        return Group(requests: requests, draw: .zipf(count: requests.count, exponent: subjects.zipf))
    }
}
