import AnnexCore
import AnnexWire
import NIOCore

/// Says how a request about users of several shards is taken apart: each shard gets a part.
///
/// It is a value without ties to a loop, as it is made on another thread where a request has many users.
struct SplitPlan: Sendable {
    struct Part: Sendable {
        let frame: RequestFrame
        /// Holds the slot of its first user; all its users are of one shard.
        let slot: Int
        /// The users' ids stand at these positions of the request.
        let users: [Int]
    }

    let parts: [Part]
    /// Gives the part of each user, in the order asked.
    let partOf: [Int]

    /// Counts the bytes of the frames and of the options that they share.
    let byteCount: Int

    /// Says that no shard has the slot.
    struct Unowned: Error {
        let slot: Int
    }

    /// Returns the shards of the users, each with the positions of its users. O(users + shards).
    static func shards(
        of request: Request,
        _ keys: Range<Int>,
        _ topology: ClusterTopology
    ) throws(Unowned) -> [(shard: Int, users: [Int])] {
        var parts: [(shard: Int, users: [Int])] = []
        var partOf = Array(repeating: -1, count: topology.shards.count)
        for key in keys {
            let slot = request.withArgument(key) { Slot.of($0) }
            guard let shard = topology.shard(of: slot) else { throw Unowned(slot: slot) }
            if partOf[shard] < 0 {
                partOf[shard] = parts.count
                parts.append((shard, []))
            }
            parts[partOf[shard]].users.append(key)
        }
        return parts
    }

    /// - Parameter shards: as above. O(bytes of the request).
    init(_ shards: [(shard: Int, users: [Int])], _ request: Request, _ keys: Range<Int>) {
        var partOf = Array(repeating: 0, count: keys.count)
        for (part, (_, users)) in shards.enumerated() { for user in users { partOf[user - keys.lowerBound] = part } }
        let options = RequestEncoder.arguments(of: request, from: keys.upperBound)
        let optionCount = request.count - keys.upperBound
        self.parts = shards.map { shard in
            Part(
                frame: RequestFrame(users: shard.users, of: request, options: options, optionCount: optionCount),
                slot: request.withArgument(shard.users[0]) { Slot.of($0) },
                users: shard.users
            )
        }
        self.partOf = partOf
        self.byteCount = self.parts.reduce(options.readableBytes) { $0 + $1.frame.head.readableBytes }
    }
}
