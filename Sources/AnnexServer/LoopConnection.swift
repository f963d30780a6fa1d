import AnnexCore
import AnnexWire
import NIOCore

/// Says what a loop knows of a connection that it serves. Everything here is called on the loop; other threads only hand
/// connections on.
protocol LoopConnection: AnyObject, Sendable {
    var state: ConnectionState { get }
    var localAddress: String { get }
    /// Counts the bytes that it holds of the server's memory.
    var held: HeldBytes { get }
    /// Tells whether a reply is owed to it.
    var isWaiting: Bool { get }

    /// Begins its turn in the queue of those that have more commands than one turn answers.
    func turnBegan()
    /// Takes a reply that another thread gave, now that it has come to the loop.
    func delivered(_ number: Int, _ write: @escaping ReplyPromise.Writing)
    func checkDeadlines(_ now: NIODeadline)
    /// Tells whether it has taken none of its replies for so long.
    func isStalled(_ now: NIODeadline, for time: TimeAmount) -> Bool
    /// Takes one step of a drain; a late one reads nothing more.
    func drainStep(late: Bool)

    /// Writes one line of CLIENT LIST, without the line end.
    func listLine() -> String
    /// Closes it once the replies that it is owed are written.
    func closeAfterReplies()
    /// Closes it because it holds too much.
    func evict(_ reason: String)
    func closeNow()
}
