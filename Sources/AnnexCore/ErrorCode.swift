/// The first word of an error reply: a closed set, which clients, routers and metrics go by. The sentence behind it is for
/// people and may change.
package enum ErrorCode: String, Sendable, CaseIterable, CustomStringConvertible {
    case error = "ERR"
    case noUser = "NOUSER"
    case noItem = "NOITEM"
    case noIndex = "NOINDEX"
    case badVector = "BADVECTOR"
    case loading = "LOADING"
    case timeout = "TIMEOUT"
    case overloaded = "OVERLOADED"
    case masterDown = "MASTERDOWN"
    case clusterDown = "CLUSTERDOWN"
    case moved = "MOVED"
    case crossSlot = "CROSSSLOT"
    case noAuth = "NOAUTH"
    case wrongPassword = "WRONGPASS"
    case noProtocol = "NOPROTO"
    case execAbort = "EXECABORT"

    package var description: String { self.rawValue }

    /// Says what the code means, for the reference.
    package var meaning: String {
        switch self {
        case .error: "the command, its arguments or the frame are wrong, or the server failed to carry it out"
        case .noUser: "nothing is known of the user"
        case .noItem: "the index has no such item"
        case .noIndex: "no such index is served, or several are and none was named"
        case .badVector: "a vector of the wrong length, or with NaN or infinity"
        case .loading: "the server should not be sent requests yet, or any more: see `READY`"
        case .timeout: "no answer came in time"
        case .overloaded: "too much waits already: try again in a moment"
        case .masterDown: "this replica is cut off from its log, or too far behind it"
        case .clusterDown: "no replica of the shard serves the slot now"
        case .moved: "`slot host:port`: the user lives on another shard, which is named"
        case .crossSlot: "the users of one command live on several shards: ask each, or a router"
        case .noAuth: "the connection has to authenticate first"
        case .wrongPassword: "the user name or the password is wrong"
        case .noProtocol: "there is no such protocol version"
        case .execAbort: "`EXEC` was refused as a whole, and nothing was stored: a command behind `MULTI` was refused"
        }
    }

    /// Tells whether a change that was answered so may have been stored all the same.
    package var mayBeStored: Bool { self == .timeout }

    /// Tells whether another replica of the shard, asked the same, may answer.
    package var mayBeAnsweredElsewhere: Bool {
        switch self {
        case .loading, .timeout, .overloaded, .masterDown, .clusterDown: true
        case .error, .noUser, .noItem, .noIndex, .badVector, .moved, .crossSlot, .noAuth, .wrongPassword, .noProtocol,
            .execAbort:
            false
        }
    }

    /// The code of a failure that a client is told of.
    package init(_ failure: AnnexError.Code) {
        switch failure {
        case .overloaded: self = .overloaded
        // Clients of clusters, and routers, ask another replica on this code.
        case .unavailable: self = .masterDown
        case .timeout: self = .timeout
        case .usage, .badInput, .damaged, .notFound, .limit, .system, .recall, .busy: self = .error
        }
    }

    /// Reads the code that `text` begins with, as in `NOUSER nothing is known …`.
    package init?(of text: String) { self.init(rawValue: String(text.prefix { $0 != " " })) }
}
